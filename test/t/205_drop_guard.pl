# DROP EXTENSION in all its forms is refused while there are contacts.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('guard');
my $node = $ctms->node;
$ctms->sql(q{CREATE ROLE ctms_owner SUPERUSER LOGIN; CREATE SCHEMA other;
    CREATE EXTENSION hstore SCHEMA other});
$node->safe_psql('postgres', 'CREATE DATABASE owned');
$node->safe_psql('owned', 'SET ROLE ctms_owner; CREATE EXTENSION ctms');
$_->() for map {
    my $d = $_;
    sub { $node->safe_psql($d,
            q{INSERT INTO ctms.emails (primary_email) VALUES ('guard@example.com')}) };
} qw(ctms owned);

sub refused
{
    my ($database, $command) = @_;
    my ($rc, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$command");
    like($err, qr/ERROR:  55000: cannot drop extension "ctms" because it holds contacts/,
        "refused: $command");
    like($err, qr/HINT:.*ctms\.allow_drop/, 'with a hint');
    is($node->safe_psql($database, 'SELECT count(*) FROM ctms.emails'), '1', 'nothing is lost');
    return;
}

refused('ctms', 'DROP EXTENSION ctms');
refused('ctms', 'DROP EXTENSION ctms CASCADE');
refused('ctms', 'DROP EXTENSION IF EXISTS hstore, ctms');
refused('ctms', 'DROP SCHEMA ctms CASCADE');
refused('ctms', 'DROP EXTENSION plpgsql CASCADE');
refused('owned', 'DROP OWNED BY ctms_owner CASCADE');

$ctms->sql('DROP SCHEMA other CASCADE; CREATE SCHEMA other; DROP SCHEMA other');
pass('other drops are let through');
$ctms->sql('BEGIN; SET LOCAL ctms.allow_drop = on; DROP EXTENSION ctms; ROLLBACK');
is($ctms->sql('SELECT count(*) FROM ctms.emails'), '1', 'the setting allows it');
$ctms->sql('DELETE FROM ctms.emails; DROP EXTENSION ctms; CREATE EXTENSION ctms');
pass('an extension without contacts can be dropped');
$ctms->sql(q{INSERT INTO ctms.emails (primary_email) VALUES ('guard@example.com')});
$node->safe_psql('postgres', 'DROP DATABASE ctms');
pass('and a database can be dropped with its contacts');
done_testing();
