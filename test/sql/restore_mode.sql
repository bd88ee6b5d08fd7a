-- When a session counts as restoring a dump, and what that changes.
SELECT ctms._is_restoring() AS ordinary;
SET check_function_bodies = off;
SELECT ctms._is_restoring() AS no_function_bodies;
SET row_security = off;
SELECT ctms._is_restoring() AS like_pg_dump;
SET check_function_bodies = on;
SELECT ctms._is_restoring() AS no_row_security;
SET ctms.restore_mode = on;
SELECT ctms._is_restoring() AS told;
SET ctms.restore_mode = off;
SET check_function_bodies = off;
SELECT ctms._is_restoring() AS told_not;
SET ctms.restore_mode = maybe;
RESET ALL;
SET ctms.restore_mod = on;

-- Rows must not come before those that they refer to, except for COPY into an extension that has
-- never had a contact (test/t/200_dump.pl).
SET ctms.restore_mode = on;
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-000000080001', 'restore@example.com');
INSERT INTO ctms.amo (id, email_id, update_timestamp) VALUES (1000000, '00000000-0000-4000-8000-000000080001', '2001-02-03Z');
INSERT INTO ctms.amo (id, email_id) VALUES (1000001, '00000000-0000-4000-8000-000000080002');
COPY ctms.amo (id, email_id) FROM stdin;
1000001	00000000-0000-4000-8000-000000080002
\.
SHOW session_replication_role;
SELECT count(*) AS pending FROM ctms.pending_acoustic WHERE email_id = '00000000-0000-4000-8000-000000080001';
CREATE ROLE restore_mode_user;
GRANT ctms_admin TO restore_mode_user;
GRANT EXECUTE ON FUNCTION ctms._is_restoring() TO restore_mode_user;
-- Members of ctms_admin may restore, others may not.
SET SESSION AUTHORIZATION restore_mode_user;
SELECT ctms._is_restoring() AS told_by_admin;
RESET SESSION AUTHORIZATION;
REVOKE ctms_admin FROM restore_mode_user;
GRANT USAGE ON SCHEMA ctms TO restore_mode_user;
SET SESSION AUTHORIZATION restore_mode_user;
SELECT ctms._is_restoring() AS told_by_other;
RESET SESSION AUTHORIZATION;
DROP OWNED BY restore_mode_user;
RESET ctms.restore_mode;
SELECT update_timestamp = '2001-02-03Z' AS kept FROM ctms.amo WHERE id = 1000000;
DELETE FROM ctms.amo WHERE id = 1000000;
DELETE FROM ctms.emails WHERE primary_email = 'restore@example.com';
DROP ROLE restore_mode_user;

-- The triggers know how they must be fired.
CREATE TEMP TABLE restored (id int);
CREATE TRIGGER a AFTER INSERT ON restored FOR EACH STATEMENT EXECUTE FUNCTION ctms._restore_references();
INSERT INTO restored VALUES (1);
DROP TRIGGER a ON restored;
CREATE TRIGGER a BEFORE INSERT ON restored FOR EACH ROW EXECUTE FUNCTION ctms._restore_references();
INSERT INTO restored VALUES (1);
DROP TRIGGER a ON restored;
CREATE TRIGGER a BEFORE INSERT ON restored FOR EACH STATEMENT EXECUTE FUNCTION ctms._restored_references();
INSERT INTO restored VALUES (1);
DROP TRIGGER a ON restored;
CREATE TRIGGER a AFTER DELETE ON restored FOR EACH STATEMENT EXECUTE FUNCTION ctms._restored_references();
DELETE FROM restored;
DROP TABLE restored;
