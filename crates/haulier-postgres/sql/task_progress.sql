UPDATE {schema}.task t SET progress = given.fraction, progress_note = given.note
FROM unnest($1::uuid[], $2::double precision[], $3::text[]) AS given (id, fraction, note)
WHERE t.id = ANY (ARRAY[given.id])
