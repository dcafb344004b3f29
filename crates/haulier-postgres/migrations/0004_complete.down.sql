DROP FUNCTION {schema}.wake;
DROP FUNCTION {schema}.complete_bytes;
DROP FUNCTION {schema}.complete;
DROP FUNCTION {schema}.complete_task;
DROP FUNCTION {schema}.answer_again;
