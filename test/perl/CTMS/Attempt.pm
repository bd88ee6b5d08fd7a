package CTMS::Attempt;

# Tries SQL as another role, without lasting effect: install() makes a function
# public.attempt(role, statement) that returns the SQLSTATE, "00000" when it worked.

use strict;
use warnings;

sub install
{
    my ($ctms) = @_;
    $ctms->sql(q{
        CREATE FUNCTION public.attempt(role_name text, statement text)
            RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            BEGIN
                EXECUTE format('SET LOCAL ROLE %I', role_name);
                EXECUTE statement;
                RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
            EXCEPTION WHEN OTHERS THEN
                RETURN CASE SQLSTATE WHEN 'ZZZZZ' THEN '00000' ELSE SQLSTATE END;
            END;
        END $$;
        REVOKE ALL ON FUNCTION public.attempt(text, text) FROM PUBLIC;
        CREATE ROLE nobody_special;
    });
    return;
}

1;
