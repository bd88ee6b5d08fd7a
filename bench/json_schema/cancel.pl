# How soon a statement with a hostile schema or value is cancelled; run by
# "make bench-json-schema-cancel".
#
# Each hostile input is compiled, judged and explained again and again in one statement, which is
# cancelled at random moments, CTMS_BENCH_CANCELS (10) times each. Told are the time from the
# request to the error at the client, and how much processor time the server used in between: the
# first holds what other work on the machine adds.
use strict;
use warnings;
use CTMS::Bench qw(setting);
use CTMS::HostileSchemas qw(hostile_cases);
use CTMS::JsonSchemaSuite qw(literal);
use CTMS::Test qw(slurp);
use IPC::Open2;
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);

my $cancels = setting(CANCELS => 10);
my $only = setting(ONLY => '.');
my @kinds = (
    [ compile => 'SELECT count(*) FROM ctms.json_schema_check(s)' ],
    [ verdict => 'SELECT ctms.json_schema_is_valid(s, v)' ],
    [ reasons => 'SELECT count(*) FROM ctms.json_schema_errors(s, v)' ],
    [ verbose => q{SELECT ctms.json_schema_validate(s, v, 'verbose')} ]);

my $ctms = CTMS::Bench->new('cancel');
$ctms->sql('CREATE TABLE public.input (name text, schema jsonb, value jsonb)');
my $psql_pid = open2(my $from, my $to, q{exec psql -X -q -A -t -d '}
    . $ctms->node->connstr('ctms') =~ s/'/'\\''/gr . q{' 2>&1});
my $pid = ask('SELECT pg_backend_pid();');

sub ask { my ($sql) = @_; print {$to} "$sql\n"; $to->flush; return read_until(qr/./) }

# The next line that the session writes and that matches.
sub read_until
{
    my ($pattern) = @_;
    while (1)
    {
        my $line = <$from> // die 'the session ended';
        chomp $line;
        return $line if $line =~ $pattern;
    }
}

# Nanoseconds that the server's process has run.
sub processor_ns { my ($ns) = slurp("/proc/$pid/schedstat") =~ /^(\d+)/; return $ns }

# (milliseconds until the error, milliseconds of processor time) of one cancellation.
sub cancel_once
{
    my ($statement) = @_;
    print {$to} q{DO $do$ DECLARE s jsonb; v jsonb;
        BEGIN SELECT jsonb_build_array(schema) -> 0, jsonb_build_array(value) -> 0 INTO s, v
        FROM public.input; RAISE NOTICE 'begun'; LOOP BEGIN PERFORM * FROM (}
        . $statement . q{) AS x; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $do$;}
        . "\n\\echo :SQLSTATE\n";
    $to->flush;
    read_until(qr/begun/);
    sleep rand 0.4;
    my ($start, $used) = (time, processor_ns());
    kill INT => $pid or die "kill: $!";
    read_until(qr/ERROR/);
    my $end = time;
    my $state = read_until(qr/^\w{5}$/);
    die "the statement ended with $state" if $state ne '57014';
    return (1000 * ($end - $start), (processor_ns() - $used) / 1e6);
}

my ($worst, $worst_used, $above, $n) = (0, 0, 0, 0);
diag sprintf '%-38s %s', 'ms to the error (ms of processor time)', join ' ',
    map { sprintf '%16s', $_->[0] } @kinds;
for my $case (grep { $_->[0] =~ /$only/ } hostile_cases())
{
    my ($name, $schema, $value) = @$case;
    $ctms->sql('TRUNCATE public.input; INSERT INTO public.input VALUES ('
        . join(', ', map { literal($_) } $name, $schema, $value) . ')');
    my @columns;
    for my $kind (@kinds)
    {
        my @times = map { [ cancel_once($kind->[1]) ] } 1 .. $cancels;
        my ($ms, $used) = map { my $i = $_; max(map { $_->[$i] } @times) } 0, 1;
        push @columns, sprintf '%7.1f (%5.1f)', $ms, $used;
        ($worst, $worst_used) = (max($worst, $ms), max($worst_used, $used));
        $above += grep { $_->[0] > 50 } @times;
        $n += @times;
    }
    diag sprintf '%-38s %s', $name, join ' ', map { sprintf '%16s', $_ } @columns;
}
die "ctms: no hostile input has a name like CTMS_BENCH_ONLY=$only\n" if !$n;
print {$to} "\\q\n";
close $to;
waitpid $psql_pid, 0;
diag sprintf '%d cancellations, worst %.1f ms (%.1f ms of processor time), %d above 50 ms', $n,
    $worst, $worst_used, $above;
pass('measured');
done_testing();
