DROP VIEW {schema}.whole, {schema}.standing, {schema}.room;
DROP VIEW {schema}.now;
DROP FUNCTION {schema}.clock();
DROP TABLE {schema}.worker, {schema}.node, {schema}.completion, {schema}.tally, {schema}.holder,
    {schema}.delivery, {schema}.lease, {schema}.task, {schema}.retention, {schema}.queue,
    {schema}.meta;
DROP SEQUENCE {schema}.place, {schema}.finish;
