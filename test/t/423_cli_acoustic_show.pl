# ctms acoustic show, failed and history: why a contact is not in Acoustic; and the view
# ctms.acoustic_queue.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(slurp);
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('cli_acoustic_show');
my $json = JSON::PP->new->utf8;
my $admin = $ctms->db_url . '&user=operator';
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin; CREATE ROLE analyst LOGIN IN ROLE
    ctms_reader; CREATE ROLE sender LOGIN IN ROLE ctms_agent');

# Everything here is done by a member of ctms_admin.
sub acoustic { my (@args) = @_; return $ctms->cli('acoustic', @args, '--db-url', $admin) }

my %id = map { $_ => sprintf '00000000-0000-4000-8000-%012d', $_ } 1 .. 99;

sub shown
{
    my ($name) = @_;
    my ($rc, $out, $err) = acoustic('show', $name, '--json');
    is($rc, 0, "show $name") or diag $err;
    return @{ $json->decode($out) };
}
sub state_of { my ($name) = @_; my ($one) = shown($name); return $one->{state} }
sub summary_of { my ($name) = @_; my ($one) = shown($name); return $one->{summary} }

# The queue row of a contact is as it is asked for.
sub queue_row
{
    my ($n, $change) = @_;
    $ctms->sql("SELECT ctms.enqueue_contacts('{$id{$n}}')");
    $ctms->sql("UPDATE ctms.pending_acoustic SET $change WHERE email_id = '$id{$n}'");
    return;
}
sub sent_all
{
    my @rows = map { [ split /\|/ ] } split /\n/,
        $ctms->sql(q{SELECT * FROM ctms.claim_acoustic('a', 1000, 6, '1 minute')});
    my ($ids, $generations) = map { my $i = $_; join ',', map { $_->[$i] } @rows } 0, 1;
    return $ctms->sql("SELECT ctms.finish_acoustic('a', '{$ids}', '{$generations}')");
}

$ctms->sql(q{INSERT INTO ctms.emails (email_id, primary_email, basket_token, sfdc_id, first_name)
    SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid,
        'c' || n || '@Example.com', '11111111-1111-4111-8111-' || lpad(n::text, 12, '0'), 'sf1', 'F'
    FROM generate_series(1, 9) AS n});
$ctms->sql("INSERT INTO ctms.emails (email_id, primary_email) VALUES ('$id{20}', 'no at')");
$ctms->sql(join ';', map { s/ID/$id{3}/gr } q{INSERT INTO ctms.fxa (email_id, fxa_id, primary_email)
        VALUES ('ID', 'abc3', 'Other@example.net')},
    q{INSERT INTO ctms.amo (email_id, user_id) VALUES ('ID', 'amo3')},
    q{INSERT INTO ctms.mofo (email_id, mofo_email_id, mofo_contact_id) VALUES ('ID', 'me', 'mc')},
    q{INSERT INTO ctms.newsletters (email_id, name) VALUES ('ID', 'hubs'), ('ID', 'unmapped')},
    q{SELECT ctms.set_waitlist_schema('guide', '{}')},
    q{INSERT INTO ctms.waitlists (email_id, name, fields)
        VALUES ('ID', 'guide', '{"geo": "fr", "colour": "red"}')},
    q{INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
        VALUES ('cus_3', 'abc3', now())});

# ---- by which name ------------------------------------------------------------------------

for my $case ([ 'C3@EXAMPLE.COM', 'primary_email' ], [ $id{3}, 'email_id' ],
    [ '{' . uc($id{3} =~ s/-//gr) . '}', 'email_id' ], [ 'abc3', 'fxa_id' ],
    [ '11111111-1111-4111-8111-000000000003', 'basket_token' ], [ 'amo3', 'amo_user_id' ],
    [ '11111111111141118111000000000003', 'basket_token' ], [ 'cus_3', 'stripe_customer_id' ],
    [ 'other@EXAMPLE.net', 'fxa_primary_email' ], [ 'me', 'mofo_email_id' ],
    [ 'mc', 'mofo_contact_id' ])
{
    my ($name, $by) = @$case;
    my @found = shown($name);
    is_deeply([ map { [ @$_{qw(email_id found_by primary_email)} ] } @found ],
        [ [ $id{3}, $by, 'c3@Example.com' ] ], "is found by $by");
}
is((shown('no at'))[0]{email_id}, $id{20}, 'an address without @');
$ctms->sql(q{UPDATE ctms.fxa SET primary_email = 'c3@example.com'});
is((shown('c3@example.com'))[0]{found_by}, 'primary_email, fxa_primary_email', 'by two names');
is_deeply([ map { $_->{email_id} } shown('sf1') ], [ map { $id{$_} } 1 .. 9 ],
    'all contacts that have a name');
my ($rc, $out, $err) = acoustic('show', 'sf1');
is(() = $out =~ /^c\d\@Example\.com /mg, 9, 'as text');

for my $name ('', "' OR true --", 'c33', '%', $id{99}, 'x' x 3000)
{
    ($rc, $out, $err) = acoustic('show', $name);
    is("$rc|$out", '4|', 'nobody has the name ' . substr $name, 0, 20);
    like($err, qr/^ctms: no contact has the address or id "\Q$name\E".*\n  hint: /, 'it says so');
}
($rc, $out, $err) = acoustic('show', 'c3@example.co');
like($err, qr/did you mean .*"c3\@Example\.com"/, 'and what is near');
($rc, $out, $err) = acoustic('show', ' c3@example.com');
like($err, qr/did you mean .*"c3\@Example\.com"/, 'also without a blank in front');
is((acoustic('show'))[0], 2, 'no name');

# ---- waiting --------------------------------------------------------------------------------

$ctms->sql(q{UPDATE ctms.pending_acoustic SET create_timestamp = '2024-01-01Z'::timestamptz
    + interval '1 second' * right(email_id::text, 2)::int});
my ($third) = shown($id{3});
is_deeply([ @$third{qw(state agents rate expected_s)}, @{ $third->{place} }{qw(lane place)} ],
    [ 'ready', 0, undef, undef, 'live', 3 ], 'the third in its lane, and no agent');
is($third->{summary}, 'it waits for its turn; 2 before it in the live lane', 'in words');
my ($row) = @{ $third->{queue} };
is_deeply($row, { is_deletion => JSON::PP::false, lane => 'live', state => 'ready',
        reason => 'waits for its turn', retry => 0, create_timestamp => '2024-01-01T00:00:03Z',
        retry_after => undef, lease_owner => undef, lease_until => undef,
        last_error => undef }, 'its row of the view');
is_deeply($third->{unsent}, { fields => [], newsletters => ['unmapped'],
        waitlist_fields => ['guide.colour'] }, 'what no column of Acoustic takes');
is_deeply([ map { $_->{kind} } @{ $third->{rows} } ], [qw(main newsletter newsletter waitlist)],
    'what would be sent');
is($third->{rows}[0]{fields}{email}, 'c3@Example.com', 'with its fields');
($rc, $out) = acoustic('show', $id{3});
like($out, qr/^c3\@Example\.com  $id{'3'}  \(found by email_id\)\n  it waits for its turn/,
    'as text');
like($out, qr/^  agents +none is sending: none runs, or sending is off/m, 'no agent is a reason');
like($out, qr/^  no flag for +unmapped$/m, 'a newsletter without a flag');
like($out, qr/^    first_name +F$/m, 'what would be sent, as text');

$ctms->sql(q{SELECT ctms.acoustic_place(NULL)});
is($ctms->sql("SELECT * FROM ctms.acoustic_place('$id{99}')"), '||', 'no place');
is($ctms->sql(q{SELECT count(*) FROM ctms.acoustic_queue WHERE lane = 'live'}), 10, 'the view');

# Those of one time, as changes of one transaction are, have places too.
queue_row($_, q{is_bulk = true, create_timestamp = '2024-01-01Z'}) for 4, 5;
is($ctms->sql("SELECT place FROM ctms.acoustic_place('$id{$_}')"), $_ - 3, "place of $_ of a wave")
    for 4, 5;
queue_row(4, q{is_bulk = true, create_timestamp = '2024-01-01Z'});
queue_row(5, q{is_bulk = true, create_timestamp = '2024-01-02Z'});
my ($bulk) = shown($id{5});
is_deeply($bulk->{place}, { lane => 'bulk', place => 2, other_backlog => 8 }, 'the place in bulk');
like($bulk->{summary}, qr/behind live changes; 1 before it in the bulk lane$/, 'in words');

queue_row(6, q{is_bulk = false, lease_owner = 'agent 7', lease_until = '2124-01-01Z'});
is(summary_of($id{6}), 'it is being sent by an agent: agent 7, until 2124-01-01T00:00:00Z',
    'being sent');
queue_row(6, q{lease_until = '2024-01-01Z'});
like(summary_of($id{6}), qr/^it waits for its turn; the agent that was sending it has stopped;/,
    'its agent has stopped');
queue_row(6, q{lease_owner = NULL, lease_until = NULL, retry = 7});
like(summary_of($id{6}), qr/has failed 7 times: agents with CTMS_ACOUSTIC_RETRY_LIMIT=6 leave it/,
    'failures have reached the limit');

queue_row(7, q{retry = 2, retry_after = '2124-01-01Z',
    last_error = '2024-05-06T07:08:09Z fault 1003: error saving recipient'});
my ($seventh) = shown($id{7});
is("$seventh->{state} $seventh->{summary}",
    'waiting it waits after a failure, until 2124-01-01T00:00:00Z', 'waits after a failure');
like($seventh->{queue}[0]{meaning}, qr/could not store it/, 'what its error means');
($rc, $out) = acoustic('show', $id{7});
like($out, qr/^  failed +2; the limit is 6\n  last error +2024-05-06T07:08:09Z fault 1003: err/m,
    'its error as text');
like($out, qr/^ +that means: Acoustic could not store it .*\. Nothing: it is tried again/m,
    'and what to do');
queue_row(8, q{retry = 6, retry_after = 'infinity',
    last_error = '2024-05-06T07:08:10Z fault 121: Email Address Is Invalid.'});
is(state_of($id{8}), 'given_up', 'given up');
unlike((acoustic('show', $id{8}))[1], qr/^  failed /m, 'after attempts that nobody has counted');
is($ctms->sql(q{SELECT retry_after IS NULL FROM ctms.acoustic_queue WHERE state = 'given_up'}), 't',
    'there is no next try');

# The rate is that of the agents that run.
$ctms->sql(q{INSERT INTO ctms.acoustic_agent (agent, slots, wanted, lease_until)
    VALUES ('agent 7', 5, 5, now() + interval '1 hour')});
($third) = shown($id{3});
is($third->{agents}, 1, 'an agent runs');
ok(exists $third->{rate}, 'the rate of the agents');
($rc, $out) = acoustic('show', $id{3});
like($out, qr/^  agents +1, whose rate is not known: of what has to wait they have sent nothing/m,
    'as text, while contacts wait');
$ctms->sql('DELETE FROM ctms.acoustic_agent');

# ---- what failed ------------------------------------------------------------------------------

$ctms->set(acoustic_deletions => 'on');
$ctms->sql("DELETE FROM ctms.emails WHERE email_id = '$id{9}'");
$ctms->sql(q{UPDATE ctms.acoustic_deleted_contact SET retry = 6, retry_after = 'infinity',
    last_error = '2024-05-06T07:08:08Z fault 1003: error saving recipient'});
($rc, $out, $err) = acoustic('failed');
is($rc, 0, 'failed') or diag $err;
like($out, qr/^2 failed, 1 given up, last 2024-05-06T07:08:09Z: fault 1003: error saving recipient
    that means: Acoustic could not store it/m, 'kinds of errors');
is($out =~ s/.*\n\n//sr =~ s/^20(?!24)\S+/TIME/mr =~ s/: fault \d+\K.*//mgr
    =~ s/2124\S+T\K\S+(?=:)//r, <<"TEXT",
TIME  $id{6}  c6\@Example.com  failed 7 times, is tried again: unknown
2024-05-06T07:08:10Z  $id{8}  c8\@Example.com  given up: fault 121
2024-05-06T07:08:09Z  $id{7}  c7\@Example.com  failed 2 times, next try 2124-01-01T: fault 1003
2024-05-06T07:08:08Z  $id{9}  (deletion)  given up: fault 1003
TEXT
    'contacts, the newest first');
sub failed_ids
{
    my ($status, $text, $problem) = acoustic('failed', @_, '--json');
    is($status, 0, "failed @_") or diag $problem;
    return join ' ', map { substr $_->{email_id}, -1 } @{ $json->decode($text)->{failed} };
}
is(failed_ids(), '6 8 7 9', 'as JSON');
is(failed_ids('--error', 'ERROR SAVING'), '7 9', 'with an error');
is(failed_ids('--error', '%'), '', 'which is a plain text');
is(failed_ids('--error', '_'), '', 'without wildcards');
is(failed_ids('--since', '2024-05-06 07:08:09Z'), '6 8 7', 'since a time');
is(failed_ids('--since', '2 hours'), '6', 'since an interval');
is(failed_ids('--since', $_), '', "since $_") for qw(infinity 10000-01-01 294000-01-01);
is(failed_ids('--since', $_), '6 8 7 9', "since $_") for '-infinity', '0044-03-15 BC';
like((acoustic('failed', '--error', 'nonsense'))[1], qr/^nothing like that has failed$/m,
    'nothing of what was asked for');
is(failed_ids('--limit', 2), '6 8', 'some');
is(failed_ids('--limit', 0), '', 'none');
my $summary = $json->decode((acoustic(qw(failed --summary --json)))[1]);
is_deeply([ map { [ @$_{qw(error contacts given_up last)} ] } @{ $summary->{errors} } ], [
        [ 'fault 1003: error saving recipient', 2, 1, '2024-05-06T07:08:09Z' ],
        [ 'fault 121: Email Address Is Invalid.', 1, 1, '2024-05-06T07:08:10Z' ],
        [ 'unknown', 1, 0, $summary->{errors}[2]{last} ] ], 'kinds as JSON');
ok(!exists $summary->{failed}, 'without contacts');
my ($ninth) = grep { $_->{is_deletion} }
    @{ $json->decode((acoustic(qw(failed --json)))[1])->{failed} };
is_deeply([ @$ninth{qw(primary_email retry_after retry is_given_up)} ],
    [ undef, undef, 6, JSON::PP::true ], 'a deletion that failed');
$ctms->sql("UPDATE ctms.emails SET primary_email = '=1+1' WHERE email_id = '$id{'8'}'");
$ctms->sql("UPDATE ctms.pending_acoustic SET retry = 6, retry_after = 'infinity',
    last_error = 'odd' WHERE email_id = '$id{'8'}'");
($rc, $out) = acoustic(qw(failed --csv --error odd));
like($out, qr/^email_id,primary_email,is_deletion,.*\n$id{'8'},"'=1\+1",f,t,6,.*,,odd\n\z/,
    'as CSV');
for my $case ([ '--since', 'sometime' ], [ '--limit', 'x' ], [ '--csv', '--json' ],
    [ '--csv', '--summary' ], ['x'])
{
    is((acoustic('failed', @$case))[0], 2, "wrong usage: @$case");
}

# Only rows that failed are read.
$ctms->sql('SET enable_seqscan = off; SET enable_bitmapscan = off');
my $plan = $ctms->sql(q{SET enable_seqscan = off; EXPLAIN SELECT FROM ctms.pending_acoustic
    WHERE NOT is_bulk AND retry_after IS NOT NULL});
like($plan, qr/Index Cond:.*retry_after IS NOT NULL/, 'the index finds what failed');

# ---- deletions --------------------------------------------------------------------------------

my ($deleted) = shown($id{9});
is("$deleted->{state} $deleted->{summary}", 'given_up the deletion was given up: waits until it '
    . 'is tried again on request (ctms acoustic retry)', 'a deletion that failed');
is($deleted->{primary_email}, undef, 'has no address any more');
like((acoustic('show', $id{9}))[1], qr/^\(deleted contact\)  $id{'9'}/, 'as text');
$ctms->sql("INSERT INTO ctms.emails (email_id, primary_email) VALUES ('$id{9}', 'c9\@Example.com');
    UPDATE ctms.acoustic_deleted_contact SET retry = 1, retry_after = NULL");
my ($again) = shown($id{9});
is_deeply([ map { $_->{state} } @{ $again->{queue} } ], [qw(ready blocked)],
    'a contact that has come back waits for its deletion');
is(failed_ids('--error', '1003'), '7 9', 'and is tried again');
sent_all();
is(sent_all(), 1, 'then the contact itself is sent');

# ---- not in the queue ---------------------------------------------------------------------------

$ctms->sql('DELETE FROM ctms.pending_acoustic');
my $unknown = 'not in the queue; nothing waits to be sent, but whether Acoustic has its current '
    . 'state is not known (see acoustic_skip_unchanged and acoustic_history_sent)';
is(summary_of($id{1}), $unknown, 'nothing is known of what was sent');
queue_row(1, 'retry = 0');
sent_all();
is(state_of($id{1}), 'unknown', 'also after it was sent: only failures are kept');
$ctms->set(acoustic_history_sent => 'on');
queue_row(1, 'retry = 0');
sent_all();
my ($current) = shown($id{1});
is($current->{summary}, 'not in the queue; Acoustic has its current state as far as ctms knows',
    'known by the history');
is($current->{history}[0]{outcome}, 'sent', 'which is shown');
like((acoustic('show', $id{1}))[1], qr/^  last sent +20.*\n  history +20\S+ sent$/m, 'as text');
$ctms->sql("SET ctms.enqueue = off; UPDATE ctms.emails SET first_name = 'G'
    WHERE email_id = '$id{1}'");
is(state_of($id{1}), 'unknown', 'a change that was not enqueued is no state that Acoustic has');
$ctms->set(acoustic_skip_unchanged => 'on');
my $hashes = $ctms->sql("SELECT ctms.enqueue_contacts('{$id{1}}');
    SELECT fields FROM ctms.acoustic_outgoing('{$id{1}}', '{new}')
        WHERE kind = 'hashes'");
($hashes) = $hashes =~ /(\{.*\})/s;
my ($generation) = $ctms->sql(q{SELECT generation FROM ctms.claim_acoustic('a', 1, 6, '1 minute')});
$ctms->sql("SELECT ctms.finish_acoustic('a', '{$id{1}}', '{$generation}', '{sent}',
    ARRAY[\$h\$$hashes\$h\$])");
is(state_of($id{1}), 'current', 'known by what was last sent');
$ctms->sql("SET ctms.enqueue = off; UPDATE ctms.emails SET first_name = 'H'
    WHERE email_id = '$id{1}'");
my ($stale) = shown($id{1});
like("$stale->{state} $stale->{summary}", qr/^stale .*use ctms acoustic resync$/,
    'a change that Acoustic lacks');
like((acoustic('show', $id{1}))[1], qr/^  to send +main : changed$/m, 'and which row it is');

$ctms->sql(q{INSERT INTO ctms.stripe_unresolved (kind, key) VALUES ('customer', 'cus_3'),
    ('customer', 'cus_4'), ('fxa', 'abc3')});
my ($noted) = shown($id{3});
is_deeply([ map { "$_->{kind} $_->{key}" } @{ $noted->{noted} } ], [ 'customer cus_3', 'fxa abc3' ],
    'changes that are noted') if $noted->{state} eq 'noted';
is($noted->{state}, 'noted', 'a change that waits for its contact');

# ---- history -------------------------------------------------------------------------------------

$ctms->set(acoustic_history_sent => undef);
$ctms->sql('DELETE FROM ctms.acoustic_history; DELETE FROM ctms.stripe_unresolved');
queue_row(2, 'retry = 0');
$ctms->sql("DELETE FROM ctms.pending_acoustic WHERE email_id <> '$id{2}'");
sub fail_once
{
    my ($number) = split /\|/, $ctms->sql(
        q{SELECT generation FROM ctms.claim_acoustic('a', 1, 6, '1 minute')});
    return $ctms->sql("SELECT ctms.fail_acoustic('a', '{" . $id{2}
        . "}', '{$number}', '{timed out}', '{false}', 6)");
}
is(fail_once(), 1, 'a contact fails');
for my $name ('c2@example.com', $id{2})
{
    ($rc, $out) = acoustic('history', $name);
    like("$rc $out", qr/^0 email_id .*\n\S+ +20\S+ +failed +timed out\n\z/, "history of $name");
}
is($json->decode((acoustic('history', $id{2}, '--json'))[1])->[0]{outcome}, 'failed', 'as JSON');
$ctms->sql('DELETE FROM ctms.pending_acoustic');
queue_row(2, 'retry = 0');
sent_all();
is($ctms->sql('SELECT count(*) FROM ctms.acoustic_history'), 1, 'what was sent is not kept');
# Settings are for open sessions too.
my $session = $ctms->node->background_psql('ctms');
$session->query_safe(q{SELECT ctms.finish_acoustic('a', '{}', '{}')});
$ctms->set(acoustic_history_sent => 'on');
queue_row(2, q{lease_owner = 'a', generation = 5});
$session->query_safe("SELECT ctms.finish_acoustic('a', '{$id{2}}', '{5}')");
is($ctms->sql('SELECT string_agg(outcome, \' \' ORDER BY id) FROM ctms.acoustic_history'),
    'failed sent', 'unless that is wanted, from the next statement on');
$ctms->set(acoustic_history_age => '0');
queue_row(2, q{lease_owner = 'a', generation = 5});
$session->query_safe("SELECT ctms.finish_acoustic('a', '{$id{2}}', '{5}')");
is($ctms->sql('SELECT count(*) FROM ctms.acoustic_history'), 2, 'or nothing is');
$session->quit;
is($ctms->sql('SELECT ctms.forget_acoustic_history()'), 2, 'then what is there is removed');
is((acoustic('history', $id{2}))[0], 4, 'and there is no history');
is((acoustic('history', 'nobody@example.org'))[0], 4, 'nor of nobody');

# The rows have a limit, and it is the oldest that go, also when nothing is written.
$ctms->set(acoustic_history_age => undef, acoustic_history_rows => 1000);
$ctms->sql("INSERT INTO ctms.acoustic_history (email_id, outcome) 
    SELECT '$id{2}', 'sent' FROM generate_series(1, 7000)");
my @removed = map { $ctms->sql(
        q{SET ROLE sender; SELECT ctms.forget_acoustic_history()}) } 1 .. 3;
is("@removed", '5000 1000 0', 'in parts');
is($ctms->sql('SELECT count(*), max(id) - min(id) FROM ctms.acoustic_history'), '1000|999',
    'the newest stay');
$ctms->sql(q{UPDATE ctms.acoustic_history SET create_timestamp = now() - interval '31 days'
    WHERE id <= (SELECT min(id) + 9 FROM ctms.acoustic_history)});
is($ctms->sql('SELECT ctms.forget_acoustic_history()'), 10, 'those that are too old go');
$ctms->sql("DELETE FROM ctms.emails WHERE email_id = '$id{2}'");
is($ctms->sql('SELECT count(*) FROM ctms.acoustic_history'), 0,
    'the history of a deleted contact goes with it');
sent_all();
($deleted) = shown($id{2});
like("$deleted->{state} $deleted->{summary}",
    qr/^deleted the contact was deleted, in Acoustic at 20\S+Z$/, 'but for its deletion');

# ---- who may read ------------------------------------------------------------------------------

is($ctms->sql('SET ROLE analyst; SELECT count(*) >= 0 FROM ctms.acoustic_queue'), 't',
    'readers see the view');
is($ctms->sql("SET ROLE analyst; SELECT place FROM ctms.acoustic_place('$id{3}')"), '',
    'and may ask for places');
for my $statement ('SELECT FROM ctms.acoustic_queue',
    q{SELECT ctms.acoustic_place('00000000-0000-4000-8000-000000000001')})
{
    is($ctms->sql_error("SET ROLE sender; $statement")->{state}, '42501', 'agents may not');
}

# ---- places in a wave --------------------------------------------------------------------------

$ctms->sql('TRUNCATE ctms.pending_acoustic');
$ctms->sql(q{SET ctms.acoustic_lane = bulk; INSERT INTO ctms.emails (primary_email)
    SELECT 'wave' || n || '@example.com' FROM generate_series(1, 50) AS n});
my $places = q{SELECT string_agg(place::text, ' ' ORDER BY place) FROM (SELECT
    (ctms.acoustic_place(email_id)).place FROM ctms.pending_acoustic LIMIT 50) AS p};
is($ctms->sql($places), join(' ', 1 .. 50), 'each contact of a wave has a place of its own');
$ctms->sql('CREATE TABLE place AS SELECT email_id, (ctms.acoustic_place(email_id)).place
    FROM ctms.pending_acoustic');
is($ctms->sql(q{SELECT string_agg(place::text, ' ' ORDER BY place) FROM
    ctms.claim_acoustic('b', 7, 6, '1 minute') JOIN place USING (email_id)}), '1 2 3 4 5 6 7',
    'those in front are claimed first');

# ---- errors in words ---------------------------------------------------------------------------

# The document has the same texts as the program.
my ($table) = slurp("$ENV{CTMS_TEST_TOP}/docs/command-line.md")
    =~ /^\| error \| means \| what to do \|\n\|[-|]+\|\n((?:\|.*\n)+)/m;
my @documented = map { [ /^\| (.*?) \| (.*?) \| (.*) \|$/ ] } split /\n/, $table;
cmp_ok(scalar @documented, '>', 12, 'documented errors');
for (@documented)
{
    my ($errors, $meaning, $advice) = @$_;
    for my $error ($errors eq 'others' ? 'whatever' : split /, /, $errors =~ s/`//gr)
    {
        my $stored = '2024-05-06T07:08:09Z ' . $error =~ s/5xx/503/r;
        queue_row(1, "retry = 1, last_error = '$stored'");
        my ($one) = shown($id{1});
        is("$one->{queue}[0]{meaning}|$one->{queue}[0]{advice}", "$meaning|$advice",
            "what $error means");
    }
}
done_testing();
