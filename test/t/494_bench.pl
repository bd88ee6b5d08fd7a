# What benchmarks stand on: commits that are durable, disks that can be changed, contacts whose ids
# come in order, and figures that are what they are called.
use strict;
use warnings;
use CTMS::Bench qw($PROCESSOR_US by_turns middle quantile ratio);
use CTMS::BenchContacts qw(fill number_of);
use Test::More;

my $bench = CTMS::Bench->new('bench');
my @durable = map { $bench->sql("SHOW $_") } qw(fsync synchronous_commit full_page_writes);
is("@durable", 'on on on', 'commits are durable');

cmp_ok($bench->use_disk('0.5'), '>=', 0.5, 'what a commit takes is told');
is($bench->sql('SHOW commit_delay'), 500, 'a flush takes longer');
$bench->use_disk('replica');
is($bench->sql('SELECT sync_state FROM pg_stat_replication'), 'sync', 'a replica is waited for');
is($bench->sql('SHOW commit_delay'), 0, 'on the disk as it is');
$bench->use_disk('native');
is($bench->sql('SHOW synchronous_standby_names'), '', 'nobody is waited for');

fill($bench, 'ctms', 3000);
is($bench->sql('SELECT count(*), count(DISTINCT email_id) FROM ctms.newsletters'), '6000|3000',
    'contacts are made');
is($bench->sql(q{SELECT count(*) FROM ctms.emails WHERE email_id::text !~
    '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-'}), 0, 'their ids have version 4');
is($bench->sql('SELECT count(*) FROM (SELECT email_id > lag(email_id)
        OVER (ORDER BY create_timestamp) AS is_later FROM ctms.emails) AS e
    WHERE is_later'), 2999, 'and come in order');
is(number_of($bench->sql('SELECT public.id_of(1234)'), 3000), 1234, 'an id tells the contact');
is(number_of('11111111-1111-4111-8111-111111111111', 3000), undef, 'if it is one of these');

is($bench->sql("$PROCESSOR_US SELECT processor_us() > 0"), 't',
    'a session knows its processor time');

# The second is measured first in each second turn.
my @order;
my $count = 0;
my ($one, $other) = by_turns(3, sub { push @order, 'one'; +{ rate => ++$count } },
    sub { push @order, 'other'; +{ rate => 10 * ++$count } });
is("@order", 'one other other one one other', 'measures take turns');
is(join(' ', middle($one, 'rate'), middle($other, 'rate')), '4 30', 'the median of a figure');
is(ratio($other, $one, 'rate'), 12, 'and of ratios, turn by turn');
is(quantile(0.99, 1 .. 1000), 990, 'a quantile');
ok(!eval { middle($one, 'p50'); 1 }, 'a figure that was not measured is none');
like($@, qr/^ctms: nothing was measured/, 'and is told');
done_testing();
