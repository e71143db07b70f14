"""What reverse proxies say of the peers that they speak for."""
