//! What a proxy changes in a head: hop-by-hop fields, forwarding fields, connection persistence.
