# The features that are off by default: deletions carried to Acoustic, contacts sent only when
# Acoustic would learn something, and the history of each contact.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use CTMS::Agent;
use CTMS::Test qw(poll_until);

my $ctms = start_line('memory', acoustic_deletions => 'on', acoustic_skip_unchanged => 'on',
    acoustic_history_sent => 'on');

sub ledger
{
    my ($after) = @_;
    return grep { $_->{operation} }
        @{ $ctms->sandbox("/_sandbox/ledger?after=$after&limit=1000")->{json} };
}
sub wait_until_idle
{
    return poll_until(sub { $ctms->sql('SELECT backlog FROM ctms.acoustic_backlog(6)') == 0 },
        'nothing is left to send', 60);
}
sub rows { return stats()->{rows} }
sub history
{
    return $ctms->sql("SELECT string_agg(concat_ws(' ', outcome, error), ', ' ORDER BY id)
        FROM ctms.acoustic_history WHERE email_id = '$_[0]'");
}

subtest 'rows that are removed' => sub {
    my ($id) = add_contacts('rows', 1);
    $ctms->sql("INSERT INTO ctms.waitlists (email_id, name) VALUES ('$id', 'vpn')");
    wait_until_idle();
    ok(is_complete($id), 'a contact is there');
    $ctms->sql(qq{SELECT ctms.put_contact('$id', '{"email": {"primary_email": "rows1\@example.com",
        "email_id": "$id"}, "newsletters": [{"name": "n2"}]}')});
    wait_until_idle();
    my $r = recipient($id);
    is_deeply([ map { $_->{newsletter_name} } @{ $r->{newsletter} } ], ['n2'],
        'a PUT removes a newsletter');
    is_deeply($r->{waitlist}, [], 'and a waitlist');
    is($ctms->sql('SELECT count(*) FROM ctms.acoustic_deleted_row'), 0,
        'nothing is noted any more');
};

subtest 'contacts that are deleted' => sub {
    my @ids = add_contacts('gone', 30);
    wait_until_idle();
    my $before = stats()->{ledger};
    $ctms->sql("SELECT count(ctms.delete_contact(primary_email)) FROM ctms.emails
        WHERE primary_email LIKE 'gone%'");
    wait_until_idle();
    is(scalar(grep { is_complete($_) } @ids), 0, 'are removed');
    is(rows()->{newsletter}, 1, 'with their rows');
    my %calls;
    $calls{ $_->{operation} }++ for ledger($before);
    is($calls{RemoveRecipient}, 30, 'each by a request');
    cmp_ok($calls{DeleteRelationalTableData}, '<', 30, 'their rows together');
    is(history($ids[0]), 'deleted', 'of which the history tells, and of nothing before');
    my ($line) = grep { $_->{Fields}{deleted} } lines("sync'd contact");
    is($line->{Fields}{success}, JSON::PP::true, 'and the log');
};

subtest 'what is gone already' => sub {
    my ($id) = add_contacts('twice', 1);
    wait_until_idle();
    my $token = $ctms->request(POST => url('/_sandbox/reset'), '');
    $ctms->sql("SELECT ctms.delete_contact('twice1\@example.com')");
    wait_until_idle();
    is($ctms->sql('SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE is_to_send'), 0,
        'is a success');
};

subtest 'a deletion that fails' => sub {
    my ($id) = add_contacts('fails', 1);
    wait_until_idle();
    faults({ answer => 'fault', errorid => 50, operation => 'RemoveRecipient', count => 2 },
        { answer => 'failure', failure_type => 'transient', text => 'Database Deadlock',
            operation => 'DeleteRelationalTableData', count => 1 });
    $ctms->sql("SELECT ctms.delete_contact('fails1\@example.com')");
    $ctms->sql("INSERT INTO ctms.emails (email_id, primary_email)
        VALUES ('$id', 'back\@example.com')");
    wait_until_idle();
    is(recipient($id)->{main}{email}, 'back@example.com',
        'is tried again, before the contact that has come back is sent');
    is_deeply(recipient($id)->{newsletter}, [], 'without what it had');
    like(history($id), qr/^failed fault 50: .*, failed .*, deleted, sent$/, 'in that order');
    faults();
};

subtest 'deleted while it is being sent' => sub {
    settings(latency_ms => 800);
    my ($id) = add_contacts('race', 1);
    poll_until(sub { stats()->{sent}{$id} }, 'it is being sent');
    $ctms->sql("SELECT ctms.delete_contact('race1\@example.com')");
    settings(latency_ms => 0);
    wait_until_idle();
    ok(!is_complete($id), 'it is removed afterwards');
};

subtest 'changes that Acoustic does not hear of' => sub {
    my @ids = add_contacts('same', 20);
    wait_until_idle();
    my $before = stats()->{ledger};
    $ctms->sql("INSERT INTO ctms.mofo (email_id, mofo_email_id) SELECT email_id, email_id
        FROM ctms.emails WHERE primary_email LIKE 'same%'");
    wait_until_idle();
    is(scalar(ledger($before)), 0, 'nothing is sent');
    is(history($ids[0]), 'sent, unchanged', 'of which the history tells');
    ok((grep { $_->{Fields}{unchanged} } lines("sync'd contact")), 'and the log');
    $ctms->sql("UPDATE ctms.newsletters SET source = 'x'
        WHERE email_id = '$ids[0]' AND name = 'n1'");
    wait_until_idle();
    is_deeply([ map { "$_->{operation} $_->{rows}" } ledger($before) ],
        [ 'AddRecipient 1', 'InsertUpdateRelationalTable 1' ], 'one row: only that');
    my ($rc, $out) = $ctms->cli('acoustic', 'resync', '--newsletter', 'n1');
    wait_until_idle();
    cmp_ok(scalar(grep { $_->{operation} eq 'AddRecipient' } ledger($before)), '>', 20,
        'a resync sends all the same');
};

subtest 'what was begun and not finished is not known' => sub {
    my ($id) = add_contacts('begun', 1);
    wait_until_idle();
    # Accepted, but the answer is lost; then the contact is as it was before.
    faults({ answer => 'cut', operation => 'AddRecipient',
            apply => JSON::PP::true, email => 'begun*' });
    $ctms->sql("UPDATE ctms.emails SET first_name = 'Other' WHERE email_id = '$id'");
    poll_until(sub { (row($id)->{retry} // 0) > 0 }, 'it has failed');
    faults();
    $ctms->sql("UPDATE ctms.emails SET first_name = 'Zebedee' WHERE email_id = '$id'");
    wait_until_idle();
    is(recipient($id)->{main}{first_name}, 'Zebedee', 'it is sent');
};

is($ctms->stop_program('agent'), 0, 'the agent is well');

subtest 'what was refused is kept no longer than it may be' => sub {
    $ctms->sql(q{INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content,
            create_timestamp)
        VALUES ('new', 'CTS02', 'x', '', '', now() - interval '29 days'),
            ('old', 'CTS02', 'x', '', '', now() - interval '31 days')});
    $ctms->start_agent(CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2,
        CTMS_ACOUSTIC_SYNC_FEATURE_FLAG => 'false');
    ok(poll_until(sub { $ctms->sql('SELECT message_id FROM ctms.stripe_refused') eq 'new' },
        'the agent has the old one removed', 60), 'also where it sends nothing');
    $ctms->stop_program('agent');
};
done_testing();
