SELECT wall, leases, generation, epoch_floor FROM {schema}.now
