-- Tasks that they handed over stay.
DROP FUNCTION {schema}.try_enqueue;
DROP FUNCTION {schema}.enqueue_many;
DROP FUNCTION {schema}.enqueue_bytes;
DROP FUNCTION {schema}.enqueue;
DROP FUNCTION {schema}.accepted;
DROP FUNCTION {schema}.accept;
DROP FUNCTION {schema}.check_room;
DROP FUNCTION {schema}.take_key;
DROP FUNCTION {schema}.meet_key;
DROP FUNCTION {schema}.meet_id;
DROP FUNCTION {schema}.state_of;
DROP FUNCTION {schema}.existing;
DROP FUNCTION {schema}.refused;
DROP TYPE {schema}.answer;
DROP FUNCTION {schema}.queue_no;
DROP FUNCTION {schema}.new_task;
DROP FUNCTION {schema}.new_id;
