-- The databases have other oids than where the schema was made: their numbers are given anew, and none a second time.
DO $do$
DECLARE
    highest int4 := (SELECT max(database_number) FROM rangeland.databases);
BEGIN
    DELETE FROM rangeland.databases WHERE database_oid <> 0;
    INSERT INTO rangeland.databases (database_number, database_oid)
    SELECT highest + row_number() OVER (ORDER BY oid), oid FROM pg_database WHERE NOT datistemplate;
END
$do$;
