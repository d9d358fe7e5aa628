"""The NAT laboratory: proxies between clients and a backend behind a NAT, in network namespaces."""
