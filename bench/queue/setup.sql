-- Procedures that measure the processor time of their own session, which
-- other work on the machine disturbs less than the clock.

-- Claims and finishes batches as an agent does; returns the time per contact of either.
CREATE PROCEDURE send(batches integer, batch_limit integer, INOUT claim_us numeric, INOUT finish_us numeric, INOUT sent bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
    generations bigint[];
    start numeric;
BEGIN
    claim_us := 0; finish_us := 0; sent := 0;
    FOR i IN 1..batches LOOP
        start := processor_us();
        SELECT array_agg(email_id), array_agg(generation) INTO ids, generations FROM ctms.claim_acoustic('bench', batch_limit, 6, '1 minute');
        COMMIT;
        claim_us := claim_us + processor_us() - start;
        EXIT WHEN ids IS NULL;
        start := processor_us();
        PERFORM ctms.finish_acoustic('bench', ids, generations);
        COMMIT;
        finish_us := finish_us + processor_us() - start;
        sent := sent + cardinality(ids);
    END LOOP;
END $$;

-- One change and its commit after the other; returns the time of each.
CREATE PROCEDURE change(first bigint, changes integer, INOUT change_us numeric) LANGUAGE plpgsql AS $$
DECLARE
    start numeric := processor_us();
    word text := clock_timestamp()::text;
BEGIN
    FOR n IN first..first + changes - 1 LOOP
        UPDATE ctms.emails SET first_name = word WHERE email_id = public.id_of(n);
        COMMIT;
    END LOOP;
    change_us := (processor_us() - start) / changes;
END $$;

-- Asks for the backlog; returns the time of each.
CREATE PROCEDURE ask(times integer, INOUT ask_us numeric) LANGUAGE plpgsql AS $$
DECLARE
    start numeric := processor_us();
BEGIN
    FOR i IN 1..times LOOP
        PERFORM ctms.acoustic_backlog(6);
        COMMIT;
    END LOOP;
    ask_us := (processor_us() - start) / times;
END $$;

-- Renders batches of 100 contacts; returns the time of each contact.
CREATE PROCEDURE render(batches integer, INOUT render_us numeric) LANGUAGE plpgsql AS $$
DECLARE
    start numeric := processor_us();
BEGIN
    FOR i IN 0..batches - 1 LOOP
        PERFORM count(*) FROM ctms.acoustic_rows((SELECT array_agg(public.id_of(n)) FROM generate_series(i * 100 + 1, i * 100 + 100) n));
    END LOOP;
    render_us := round((processor_us() - start) / batches / 100, 1);
END $$;

CREATE FUNCTION queue_size() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('table %s, indexes %s', pg_size_pretty(pg_table_size('ctms.pending_acoustic')), pg_size_pretty(pg_indexes_size('ctms.pending_acoustic')))
$$;
