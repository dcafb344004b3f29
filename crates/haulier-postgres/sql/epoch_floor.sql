UPDATE {schema}.meta SET epoch_floor = $1 WHERE epoch_floor < $1
