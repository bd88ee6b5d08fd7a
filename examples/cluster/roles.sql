-- /etc/patroni/roles.sql of db1, db2 and db3; postgres:postgres, mode 0600: it has passwords.
-- Patroni runs it once, on the first leader. Who runs it by hand: psql -f, as postgres.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;

CREATE ROLE "ctms-rest" LOGIN PASSWORD 'CHANGE-ME-ctms-rest';
CREATE ROLE "ctms-agent" LOGIN PASSWORD 'CHANGE-ME-ctms-agent';
CREATE ROLE "ctms-admin" LOGIN PASSWORD 'CHANGE-ME-ctms-admin';

CREATE DATABASE ctms;
\connect ctms
CREATE EXTENSION ctms;
GRANT ctms_api TO "ctms-rest";
GRANT ctms_agent TO "ctms-agent";
GRANT ctms_admin TO "ctms-admin";
