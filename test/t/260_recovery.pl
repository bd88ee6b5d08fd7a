# Point-in-time recovery, and what works on a streaming replica.
use strict;
use warnings;
use CTMS::Data;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('primary', durable => 1,
    conf => "wal_level = replica\nmax_wal_senders = 10\nhot_standby = on\n");
my $node = $ctms->node;
$node->enable_archiving;
$node->restart;
CTMS::Data::fill($ctms);
$ctms->login if $ctms->start_rest;
$ctms->stop_program('rest');
$node->backup('base');

# Only rows are compared: a recovered sequence may be ahead, never behind.
sub rows
{
    return join "\n", grep { !/ \d+\|[tf]$/ } split /\n/, CTMS::Data::content($_[0], 'ctms');
}
sub sequences
{
    return { map { /^(\S+) (\d+)\|[tf]$/ ? ($1 => $2) : () } split /\n/,
        CTMS::Data::content($_[0], 'ctms') };
}

# ---- point in time -------------------------------------------------------------------------

# What happens between the base backup and the point is in the archive only.
$ctms->sql(q{
    SELECT count(*) FROM ctms.claim_acoustic('before', 7, 6, '1 hour');
    INSERT INTO ctms.emails (primary_email) SELECT 'late' || n || '@example.com'
        FROM generate_series(1, 50) AS n;
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'late' FROM ctms.emails
        WHERE primary_email LIKE 'late%';
    SELECT ctms.set_waitlist_schema('late', '{"required": ["geo"]}');
});
my $expected = rows($node);
my $positions = sequences($node);
$ctms->sql(q{SELECT pg_create_restore_point('before the mistake')});
$ctms->sql(q{DELETE FROM ctms.newsletters; DELETE FROM ctms.waitlists;
    TRUNCATE ctms.pending_acoustic; SELECT ctms.drop_waitlist_schema('late');
    SELECT pg_switch_wal()});

my $recovered = PostgreSQL::Test::Cluster->new('recovered');
$recovered->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$recovered->append_conf('postgresql.conf', "recovery_target_name = 'before the mistake'\n"
    . "recovery_target_action = promote\narchive_mode = off\n");
$recovered->start;
$recovered->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
    or die 'no end of recovery';
is(rows($recovered), $expected, 'every row and the queue are as they were at the point');
my $now = sequences($recovered);
is(join(' ', grep { $now->{$_} < $positions->{$_} } keys %$positions), '', 'no sequence is behind');
is($recovered->safe_psql('ctms', q{
    INSERT INTO ctms.newsletters (email_id, name)
        SELECT email_id, 'next' FROM ctms.emails WHERE primary_email = 'late1@example.com'
        RETURNING id > (SELECT max(id) FROM ctms.newsletters)}),
    't', 'numbers go on');
my (undef, undef, $err) = $recovered->psql('ctms', q{INSERT INTO ctms.waitlists (email_id, name)
    SELECT email_id, 'late' FROM ctms.emails LIMIT 1});
like($err, qr/late/, 'schemas hold');
is($recovered->safe_psql('ctms', q{
    SELECT count(*) > 100 FROM ctms.claim_acoustic('after', 1000, 6, '1 min');
    SELECT count(*) FROM ctms.pending_acoustic WHERE lease_owner = 'before'}), "t\n7",
    'agents go on, and leave what another holds');
$recovered->stop;

# ---- a replica -----------------------------------------------------------------------------------

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(rows($standby), rows($node), 'a replica has the same rows');

my $id = '00000000-0000-4000-8000-000000000001';
my $segments = q{SELECT json_agg(p)
    FROM ctms.product_subscriptions('00000000-0000-4000-8000-000000000001') p};
for my $query (
    "SELECT ctms.get_contact('$id')", "SELECT ctms.get_identity('$id')",
    q{SELECT ctms.find_contacts(primary_email => 'DUMP2@example.com')},
    q{SELECT ctms.find_identities(fxa_id => 'fxa_dump3@example.com')},
    q{SELECT ctms.get_updates('2020-01-01', '2022-01-01', '10')}, $segments,
    "SELECT json_agg(r) FROM ctms.acoustic_rows('{$id}') r", 'SELECT ctms.list_waitlists()',
    q{SELECT ctms.get_waitlist('vpn')},
    'SELECT ctms.acoustic_configuration()',
    'SELECT ctms.contact_schemas()', q{SELECT ctms.get_api_client('id_dump')},
    'SELECT ctms.api_client_costs()',
    q{SELECT ctms.json_schema_is_valid('{"type": "object"}'::jsonb, '[]'::jsonb)},
    q{SELECT json_agg(e)
        FROM ctms.json_schema_errors('{"$ref": "https://example.com/x"}'::jsonb, '1'::jsonb) e},
    q{SELECT ctms.json_schema_validate('{"type": "object"}'::jsonb, '[]'::jsonb, 'list')},
    q{SELECT ctms.json_schema_compare('{"type": "object"}', 'true')},
    q{SELECT * FROM ctms.acoustic_backlog(6)}, q{SELECT ctms.parse_body('{}')},
    q{SELECT ctms.product_segment('active', NULL, 1)})
{
    my ($here, $there) = map { [ $_->psql('ctms', $query) ] } $node, $standby;
    s/(?:psql:|LOCATION).*?(?=ERROR)//s for $here->[2], $there->[2];
    is_deeply($there, $here, "the same on a replica: $query");
}
ok($standby->safe_psql('ctms', 'SELECT bool_and(oldest_age_s >= 0)
        FROM ctms.acoustic_lanes(6)') eq 't', 'the age of the queue');
for my $write (q{ctms.create_contact('{"email": {"primary_email": "w@example.com"}}')},
    qq{ctms.put_contact('$id', '{"email": {"primary_email": "dump1\@example.com"}}')},
    qq{ctms.patch_contact('$id', '{"email": {"first_name": "w"}}')},
    q{ctms.delete_contact('dump1@example.com')},
    q{ctms.claim_acoustic('w', 1, 6, '1 min')}, q{ctms.release_acoustic('c')},
    q{ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails))},
    q{ctms.set_waitlist_schema('w', 'true')},
    q{ctms.drop_waitlist_schema('vpn')}, q{ctms.reset_acoustic_retries()},
    q{ctms.touch_api_client('id_dump')},
    q{ctms.upsert_stripe('{"object": "price", "id": "price_1", "product": "prod_1",
        "created": 1600000000, "active": false, "currency": "usd", "unit_amount": 7,
        "recurring": null}', now())})
{
    my (undef, undef, $error) = $standby->psql('ctms', "\\set VERBOSITY verbose\nSELECT $write");
    like($error, qr/ERROR:  25006: /, 'refused with 25006: ' . $write =~ s/\(.*//r);
}

# A REST server beside a replica answers what only reads.
my $replica_url = 'postgresql:///ctms?host=' . $standby->host . '&port=' . $standby->port;
$ctms->start_rest(CTMS_DB_URL => $replica_url);
sub check { unshift @_, $ctms; goto &answers }
check(GET => "/ctms/$id", 200, sub { $_[0]{email}{primary_email} eq 'dump1@example.com' });
check(GET => '/ctms?primary_email=dump2@example.com', 200, sub { @{ $_[0] } == 1 });
check(GET => '/updates?start=2020-01-01&limit=3', 200, sub { @{ $_[0]{items} } == 3 });
check(GET => '/waitlists', 200, undef);
check(PATCH => "/ctms/$id", 503, undef, body => { email => { first_name => 'W' } },
    has => { 'Retry-After' => 1 });
check(POST => '/ctms', 503, undef, body => { email => { primary_email => 'w@example.com' } },
    has => { 'Retry-After' => 1 });
check(GET => '/__heartbeat__', 200, undef);
check(POST => '/token', 200, undef, body => "grant_type=client_credentials"
    . "&client_id=$ctms->{client_id}&client_secret=$ctms->{client_secret}",
    headers => { 'Content-Type' => 'application/x-www-form-urlencoded' });
$ctms->sql(qq{SELECT ctms.patch_contact('$id', '{"email": {"first_name": "Streamed"}}')});
ok(poll_until(sub { $ctms->request(GET => "/ctms/$id")->{json}{email}{first_name} eq 'Streamed' }),
    'and follows the primary');

$ctms->stop_program('rest');

# ---- writes that wait until the replica shows them ----------------------------------------------

$node->append_conf('postgresql.conf',
    "synchronous_standby_names = '*'\nsynchronous_commit = remote_apply\n");
$node->reload;
$node->poll_query_until('postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication})
    or die 'the replica is not synchronous';
$ctms->start_rest;
sub first_name
{
    return $_[0]->safe_psql('ctms', "SELECT first_name FROM ctms.emails WHERE email_id = '$id'");
}
sub rename_contact
{
    return $ctms->request(PATCH => "/ctms/$id", { email => { first_name => $_[0] } })->{status};
}
my $behind = 0;
for my $n (1 .. 10)
{
    die 'PATCH' if rename_contact("applied $n") != 200;
    $behind++ if first_name($standby) ne "applied $n";
}
is($behind, 0, 'with remote_apply, what was answered is seen on the replica');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$standby->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'})
    or die 'the replica does not pause';
my $writer = fork // die "fork: $!";
POSIX::_exit(rename_contact('waits') == 200 ? 0 : 1) if !$writer;
$node->poll_query_until('postgres',
    q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')})
    or die 'no commit waits';
is(waitpid($writer, POSIX::WNOHANG()), 0, 'while it does not apply, nothing is answered');
is($ctms->request(GET => "/ctms/$id")->{json}{email}{first_name}, 'applied 10',
    'and nobody sees the change');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
waitpid $writer, 0;
is($?, 0, 'then it is answered');
is(first_name($standby), 'waits', 'and seen there');
$ctms->stop_program('rest');
$node->append_conf('postgresql.conf',
    "synchronous_standby_names = ''\nsynchronous_commit = on\n");
$node->reload;

# ---- reads from the replica, never older than a write that was answered --------------------------

# Several processes, so that mostly another process answers the read than the write.
$ctms->start_rest(CTMS_DB_READ_URL => $replica_url, CTMS_PROCESSES => 3);
my $log_at = -s $standby->logfile;
sub reads_on_replica
{
    my $n = () = substr(slurp($standby->logfile), $log_at) =~ /SELECT ctms\.get_contact/g;
    $log_at = -s $standby->logfile;
    return $n;
}
sub write_and_read
{
    my ($rounds) = @_;
    my $old = 0;
    for my $n (1 .. $rounds)
    {
        my $name = "round $n " . rand;
        die 'PATCH' if $ctms->request(PATCH => "/ctms/$id",
            { email => { first_name => $name } })->{status} != 200;
        my $r = $ctms->request(GET => "/ctms/$id");
        $old++ if $r->{status} != 200 || $r->{json}{email}{first_name} ne $name;
    }
    return $old;
}
poll_until(sub { $ctms->request(GET => "/ctms/$id"); reads_on_replica() }, 'the replica is read');
is(write_and_read(50), 0, 'each read shows the write before it');
note reads_on_replica() . ' of 50 from the replica';
ok(poll_until(sub { $ctms->request(GET => "/ctms/$id"); reads_on_replica() }),
    'a replica that is not behind is read');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
is(write_and_read(5), 0, 'while the replica is behind the primary answers');
is(reads_on_replica(), 0, 'alone');
check(GET => '/updates?start=2020-01-01&limit=3', 200, sub { @{ $_[0]{items} } == 3 });
check(GET => '/ctms/00000000-0000-4000-8000-999999999999', 404, undef);
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ok(poll_until(sub {
    $ctms->request(GET => "/ctms/$id");
    reads_on_replica();
}, 'the replica is read again'), 'read again when it is there');
$standby->stop('immediate');
is(write_and_read(5), 0, 'without the replica the primary answers');
$standby->start;
ok(poll_until(sub {
    $ctms->request(GET => "/ctms/$id");
    reads_on_replica();
}, 'the replica is back'), 'a replica that is back is read');
$standby->promote;
is(write_and_read(5), 0, 'a replica that was promoted is not');
is(reads_on_replica(), 0, 'read at all');

done_testing();
