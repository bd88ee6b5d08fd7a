# A walk over /updates while others write: no contact is missed, none that stayed as it was comes
# twice, and a page reads no more of the database at the end than at the beginning.
use strict;
use warnings;
use CTMS::Test;
use Test::More;

my $contacts = 3000;
my $ctms = CTMS::Test->new('updates_walk');
$ctms->sql(qq{SET ctms.enqueue = off;
    INSERT INTO ctms.emails (email_id, primary_email, update_timestamp)
    SELECT md5(n::text)::uuid,
        n || '\@example.com', '2024-01-01Z'::timestamptz + n / 7 * interval '1 ms'
        FROM generate_series(1, $contacts) AS n});
$ctms->start_rest;
$ctms->login;

my (%seen, %changed, $late);
my $path = '/updates?start=2020-01-01&end=2100-01-01&limit=100';
for my $page (0 .. 10 * $contacts / 100)
{
    last if !defined $path;
    my $r = $ctms->request(GET => $path);
    is($r->{status}, 200, "page $page") if $r->{status} != 200;
    $late = $r->{json}{after} if $page == 25;
    $seen{ $_->{email}{email_id} }++ for @{ $r->{json}{items} };
    $path = defined $r->{json}{next} ? $r->{json}{next} =~ s{^https?://[^/]+}{}r : undef;
    # Some contacts that the walk has passed, and some that it has not; a changed contact moves to
    # the end. In the end nobody writes.
    next if $page > 20;
    my $numbers = join ',', map { 1 + int rand $contacts } 1 .. 5;
    $changed{$_} = 1 for split ' ',
        $ctms->sql("SELECT string_agg(ctms.patch_contact(md5(n::text)::uuid,
        '{}')->'email'->>'email_id', ' ') FROM unnest(ARRAY[$numbers]) AS n");
}
ok(!defined $path, 'the walk ends');
is(scalar(keys %seen), $contacts, 'no contact is missed');
is(scalar(grep { $seen{$_} > 1 && !$changed{$_} } keys %seen), 0,
    'none that stayed as it was comes twice');

# ---- what a page costs ---------------------------------------------------------------------------
sub rows_read
{
    my ($after) = @_;
    my ($plan) = $ctms->sql("BEGIN; SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)
        FROM pg_stat_xact_user_tables WHERE relname = 'emails';
        SELECT length(ctms.get_updates('2020-01-01', '2100-01-01', '100', $after)::text) > 0;
        SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read) FROM pg_stat_xact_user_tables
            WHERE relname = 'emails'; COMMIT");
    my ($before, undef, $later) = split /\n/, $plan;
    return $later - $before;
}
my ($first, $last) = (rows_read('NULL'), rows_read("'$late'"));
cmp_ok($first, '<', 500, 'the first page reads few rows');
is($last, $first, 'and a late one as many');
done_testing();
