-- Nothing is changed if another sweep has seen a jump of the calendar meanwhile.
UPDATE {schema}.meta SET wall = greatest(wall, $1), slip = $2, leases_at = greatest(leases_at, $3)
WHERE slip = $4
RETURNING slip
