SELECT wall, leases FROM {schema}.now
