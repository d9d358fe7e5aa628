//! The kernel's own view of sockets, by netlink (sock_diag(7)).
