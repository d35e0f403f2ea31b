-- Users for a ClickHouse of your own, with the least that they need: run it once as
-- an admin (clickhouse-client --multiquery < grants.sql), with passwords of your own in
-- the two places that say so. With another database put its name for microseg.
--
-- No SELECT on system.*, and no source (file, url, s3, remote …), is among the grants.

CREATE DATABASE IF NOT EXISTS microseg;

-- The job, `microseg serve --dsn` and commands: migrations, rows, exports and deletions.
CREATE USER IF NOT EXISTS microseg_job IDENTIFIED WITH sha256_password BY 'PASSWORD OF THE JOB';
GRANT SELECT ON microseg.* TO microseg_job;
GRANT INSERT ON microseg.* TO microseg_job;
GRANT CREATE TABLE ON microseg.* TO microseg_job;
GRANT DROP TABLE ON microseg.* TO microseg_job;
GRANT ALTER ADD COLUMN ON microseg.* TO microseg_job;
GRANT ALTER COMMENT COLUMN ON microseg.* TO microseg_job;
GRANT ALTER DELETE ON microseg.* TO microseg_job;
GRANT TABLE ENGINE ON ReplacingMergeTree TO microseg_job;
GRANT TABLE ENGINE ON Memory TO microseg_job;

-- People and BI tools: they read, each query within limits.
CREATE SETTINGS PROFILE IF NOT EXISTS microseg_analyst SETTINGS readonly = 2,
    max_execution_time = 60 MIN 1 MAX 60,
    max_memory_usage = 1073741824 MIN 1 MAX 1073741824,
    max_memory_usage_for_user = 1073741824 MIN 1 MAX 1073741824,
    max_threads = 2 MIN 1 MAX 2,
    max_concurrent_queries_for_user = 8 MIN 1 MAX 8,
    max_temporary_data_on_disk_size_for_user = 1073741824 MIN 1 MAX 1073741824;
CREATE USER IF NOT EXISTS microseg_analyst IDENTIFIED WITH sha256_password BY 'PASSWORD OF THE ANALYST' SETTINGS PROFILE 'microseg_analyst';
GRANT SELECT ON microseg.* TO microseg_analyst;
