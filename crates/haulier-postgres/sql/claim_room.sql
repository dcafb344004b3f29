SELECT no, is_limited, room FROM {schema}.room WHERE no = ANY ($1::int[])
