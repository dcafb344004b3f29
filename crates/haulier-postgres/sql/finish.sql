SELECT nextval('{schema}.finish') * 1024 AS base
