# ctms acoustic: the queue as an operator sees it, what is synced, sending again.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('cli_acoustic');
my $json = JSON::PP->new->utf8;
my $admin = $ctms->db_url . '&user=operator';
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');

# Everything here is done by a member of ctms_admin.
sub acoustic { my (@args) = @_; return $ctms->cli('acoustic', @args, '--db-url', $admin) }

sub queue { return $ctms->sql('SELECT coalesce(string_agg(primary_email, \' \'
    ORDER BY primary_email), \'\')
    FROM ctms.pending_acoustic JOIN ctms.emails USING (email_id)') }

$ctms->sql(q{
    INSERT INTO ctms.emails (primary_email) SELECT 'c' || n || '@example.com'
        FROM generate_series(1, 6) n;
    INSERT INTO ctms.newsletters (email_id, name, subscribed)
        SELECT email_id, 'hubs', primary_email < 'c2' FROM ctms.emails WHERE primary_email < 'c3';
    INSERT INTO ctms.waitlists (email_id, name) SELECT email_id, 'vpn' FROM ctms.emails
        WHERE primary_email > 'c5';
});

# ---- status ---------------------------------------------------------------------

$ctms->sql(q{
    UPDATE ctms.pending_acoustic SET create_timestamp = now() - interval '100 seconds';
    UPDATE ctms.pending_acoustic q SET retry = 1, last_error = '2024-01-01T00:00:00Z server error'
        FROM ctms.emails e WHERE e.email_id = q.email_id
            AND primary_email IN ('c1@example.com', 'c2@example.com');
    UPDATE ctms.pending_acoustic q SET retry = 1, retry_after = 'infinity',
        last_error = '2024-01-02T00:00:00Z Email Address Is Invalid.'
        FROM ctms.emails e WHERE e.email_id = q.email_id AND primary_email = 'c3@example.com';
    UPDATE ctms.pending_acoustic q SET retry = 6, last_error = '2024-01-03T00:00:00Z server error'
        FROM ctms.emails e WHERE e.email_id = q.email_id AND primary_email = 'c4@example.com';
    UPDATE ctms.pending_acoustic q SET lease_until = now() + interval '1 hour', lease_owner = 'a'
        FROM ctms.emails e WHERE e.email_id = q.email_id AND primary_email = 'c5@example.com';
});
my ($rc, $out, $err) = acoustic('status');
is($rc, 0, 'status') or diag $err;
my $counts = qr/waiting +6\nbeing sent +1\nto be tried again +2\ngiven up +2\n/;
like($out, qr/^${counts}oldest +20\S+ \S+ \(\d+ s ago\)\n/m, 'counts');
my $errors = qr/3 +1 +2024-01-03T00:00:00Z +server error\n1 +1 +\S+ +Email Address Is Invalid\./;
like($out, qr/^contacts +given_up +last +error\n$errors$/m, 'errors, commonest first');
($rc, $out) = acoustic('status', '--json');
my $status = $json->decode($out);
is_deeply([ @$status{qw(waiting in_progress to_retry given_up)} ],
    [ 6, 1, 2, 2 ], 'counts as JSON');
cmp_ok($status->{oldest_age_s}, '>=', 100, 'the oldest as JSON');
is($status->{errors}[0]{error}, 'server error', 'errors as JSON');
$ctms->sql('DELETE FROM ctms.pending_acoustic');
($rc, $out) = acoustic('status');
like($out, qr/^waiting +0\n.*^oldest +none\n\z/ms, 'an empty queue');
is_deeply($json->decode((acoustic('status', '--json'))[1])->{errors}, [], 'an empty queue as JSON');

# ---- fields and newsletters --------------------------------------------------------

($rc, $out) = acoustic(qw(fields list));
like($out, qr/^main +email$/m, 'fields of the main table');
like($out, qr/^waitlist +geo$/m, 'fields of the waitlist table');
($rc, $out) = acoustic(qw(fields list -t waitlist --json));
is_deeply($json->decode($out), { waitlist => [qw(geo platform)] }, 'of one table, as JSON');
is((acoustic(qw(fields add -t waitlist languages)))[0], 0, 'a field is added');
is((acoustic(qw(fields add -t waitlist languages)))[0], 5, 'once');
is((acoustic(qw(fields remove -t waitlist languages)))[0], 0, 'and removed');
is((acoustic(qw(fields remove -t waitlist languages)))[0], 4, 'once');
is((acoustic(qw(fields add -t product price_id)))[0], 2, 'other tables are fixed');
is((acoustic(qw(fields list -t product)))[0], 2, 'not to be listed either');
is(join(' ', (acoustic('fields', 'add', '--force', 'x' x 256))[ 0, 2 ]),
    "2 ctms: a field has at most 255 characters\n", 'a name that is too long');
is((acoustic('fields', 'add', '--force', $_))[0], 2, 'no name of a column')
    for '', ' x', 'x ', "x\n", "x\x7fy";

# Adds a field, says what is printed, and removes it again.
sub said_of
{
    my (@args) = @_;
    my ($status, undef, $said) = acoustic(qw(fields add), @args);
    acoustic(qw(fields remove), grep { $_ ne '--force' } @args) if $status == 0;
    return "$status $said";
}
is(said_of('amo_display_name'), "5 ctms: that field is synced already\n", 'a duplicate');
my $hint = "  hint: --force adds a field that another system fills\n";
is(said_of('frist_name'), qq{4 ctms: ctms has no field "frist_name" for the main table; }
    . qq{did you mean "first_name" or "last_name"?\n$hint}, 'a field without a source');
is(said_of('sumo_avatar'), qq{4 ctms: ctms has no field "sumo_avatar" for the main table\n$hint},
    'nothing is near');
is(said_of(qw(sumo_avatar --force)), '0 ', 'a field of another system, on purpose');
is(said_of('vpn_waitlist_geo'), "5 ctms: that field is synced already\n", 'of a waitlist');
is(said_of('vpn_waitlist_source'), '0 ', 'a column of a waitlist');
is(said_of('vpn_waitlist_goe'), qq{0 ctms: warning: the schema of the waitlist "vpn" names no }
    . qq{field "goe"; did you mean "geo"?\n}, 'a field that its schema does not name');
is(said_of('vnp_waitlist_geo'), qq{0 ctms: warning: there is no schema of a waitlist "vnp"; }
    . qq{did you mean "vpn"?\n}, 'a waitlist without a schema');
is(said_of(qw(vnp_waitlist_geo --force)), '0 ', 'which may be meant');
is((split /:/, said_of($_))[0], '4 ctms', "no field of a waitlist: $_")
    for '_waitlist_geo', 'vpn_waitlist_';
is(said_of(qw(-t waitlist paltform)), qq{0 ctms: warning: no schema of a waitlist names a field }
    . qq{"paltform"; did you mean "platform"?\n}, 'a field that no schema names');
$ctms->sql(q{SELECT ctms.set_waitlist_schema('deep', '{"allOf": [{"properties": {"device": true,
    "properties": {"properties": {"inner": true}}}}]}')});
is(said_of('deep_waitlist_device'), '0 ', 'a member that a subschema names');

($rc, $out) = acoustic(qw(newsletters list));
like($out, qr/^hubs +sub_hubs$/m, 'newsletters');
is($json->decode((acoustic(qw(newsletters list --json)))[1])->{'mozilla-and-you'},
    'sub_firefox_news', 'as JSON');
($rc, $out, $err) = acoustic(qw(newsletters add hub:sub_hub));
is("$rc $err", qq{0 ctms: warning: no contact has the newsletter "hub" yet; did you mean "hubs"?\n},
    'a newsletter that nobody has');
acoustic(qw(newsletters remove hub));
($rc, $out, $err) = acoustic(qw(newsletters add beta:email));
is("$rc $err", qq{1 ctms: "email" is a field of contacts: no newsletter can set that column\n},
    'a column that is taken');
# Such a column would be that of two values.
acoustic(qw(fields add --force elsewhere));
is((acoustic('newsletters', 'add', "beta:$_"))[0], 1, "$_ too")
    for qw(vpn_waitlist_geo relay_waitlist_geo elsewhere Email EMAIL_ID);
acoustic(qw(fields remove elsewhere));
for my $field (qw(sub_hubs SUB_Hubs))
{
    is(join(' ', (acoustic(qw(fields add --force), $field))[ 0, 2 ]),
        qq{1 ctms: the newsletter "hubs" sets the column "$field"\n}, "nor a field: $field");
}
is((acoustic('newsletters', 'add', $_))[0], 2, 'no name of a column')
    for 'beta: x', 'beta:x ', "beta:x\n", 'beta:' . 'x' x 256;
is((acoustic('newsletters', 'add', 'x' x 256 . ':sub_x'))[2],
    "ctms: a newsletter has at most 255 characters\n", 'nor a name of a newsletter');
$ctms->sql(q{INSERT INTO ctms.newsletters (email_id, name, subscribed)
    SELECT email_id, 'beta', true FROM ctms.emails WHERE primary_email = 'c4@example.com'});
is(join(' ', (acoustic(qw(newsletters add beta:sub_beta)))[ 0, 2 ]), '0 ', 'one is added');
$ctms->sql('DELETE FROM ctms.pending_acoustic');
is((acoustic(qw(newsletters add beta:sub_other)))[0], 5, 'once');
is($ctms->sql("SELECT destination FROM ctms.acoustic_newsletter_mapping WHERE source = 'beta'"),
    'sub_beta', 'stored');
is((acoustic(qw(newsletters remove beta)))[0], 0, 'and removed');
is((acoustic(qw(newsletters remove beta)))[0], 4, 'once');
is((acoustic('newsletters', 'add', $_))[0], 2, "refused: $_") for 'beta', ':x', 'x:', 'x:y:z';

# ---- resync -------------------------------------------------------------------------

is((acoustic('resync'))[0], 2, 'resync of nothing');
is(queue(), '', 'nothing waits');
($rc, $out) = acoustic(qw(resync --newsletter hubs));
is("$rc $out", "0 2 contacts enqueued\n", 'resync of a newsletter');
is(queue(), 'c1@example.com c2@example.com', 'its contacts wait, subscribed or not');
($rc, $out) = acoustic(qw(resync -w vpn --json));
is($json->decode($out)->{enqueued}, 2, 'resync of a waitlist');

my $file = "$ENV{TESTDIR}/emails";
append_to_file($file,
    "# comment\n\n  C3\@Example.com \r\nnobody\@example.com\nc3\@example.com\nc4\@example.com");
($rc, $out, $err) = acoustic('resync', '-f', $file);
is($rc, 4, 'an unknown address');
is($out, "2 contacts enqueued, 1 not found\n", 'the known ones are enqueued');
like($err, qr/^ctms: not found: nobody\@example.com \(\S+, line 4\)\n/, 'the unknown one is named');
is(queue(), join(' ', map { "c$_\@example.com" } 1 .. 6), 'all wait');
is((acoustic('resync', '-f', "$file.not"))[0], 1, 'no such file');
append_to_file("$file.bad", "\xff\xfe\n");
like((acoustic('resync', '-f', "$file.bad"))[2], qr/emails\.bad" is UTF-16: save it as UTF-8$/m,
    'UTF-16');
$ctms->sql('DELETE FROM ctms.pending_acoustic');
append_to_file("$file.csv", "\xef\xbb\xbfName,Primary_Email\rC,c1\@example.com\rD,J\xfc\r");
($rc, $out, $err) = acoustic('resync', '--reset-retries', '-f', "$file.csv");
is("$rc $out", '1 ', 'a line without an address');
like($err, qr/emails\.csv, line 3: has bytes that are not UTF-8\n.*; nothing was done$/m, 'named');
is(queue(), '', 'nothing waits');
($rc, $out) = acoustic('resync', '-f', "$file.csv", '--max-errors', 1);
is("$rc $out", "7 1 contacts enqueued\n", 'unless that is allowed');
acoustic('resync', '-f', $file);
acoustic(qw(resync --newsletter hubs));
acoustic(qw(resync -w vpn));

$ctms->sql("UPDATE ctms.pending_acoustic SET retry = 6, retry_after = 'infinity', last_error = 'x'
    FROM ctms.emails e WHERE e.email_id = pending_acoustic.email_id AND primary_email > 'c4'");
($rc, $out) = acoustic(qw(resync --reset-retries));
is($out, "3 failed contacts have a fresh start\n0 contacts enqueued\n", 'retries are reset');
is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic
    WHERE retry > 0 OR retry_after IS NOT NULL'), 0, 'in the queue');

# More contacts than one batch holds.
$ctms->sql(q{
    INSERT INTO ctms.emails (primary_email) SELECT 'many' || n || '@example.com'
        FROM generate_series(1, 2500) n;
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'many' FROM ctms.emails
        WHERE primary_email LIKE 'many%';
    DELETE FROM ctms.pending_acoustic;
});
($rc, $out) = acoustic(qw(resync --newsletter many --yes));
is($out, "2500 contacts enqueued\n", 'several batches');
is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic'), 2500, 'are in the queue');
append_to_file("$file.many", join '', map { "many$_\@example.com\n" } 1 .. 2500);
is((acoustic('resync', '-yf', "$file.many"))[1], "2500 contacts enqueued\n", 'and of addresses');

# ---- what would be sent ----------------------------------------------------------------

$ctms->sql('DELETE FROM ctms.pending_acoustic');
is((acoustic(qw(resync --dry-run -r -n many)))[1],
    "0 failed contacts would have a fresh start\n2500 contacts would be enqueued\n",
    'resync --dry-run says how many');
is((acoustic('resync', '-d', '-f', $file))[1],
    "2 contacts would be enqueued, 1 not found\n", 'of addresses too');
is(queue(), '', 'and does nothing');
($rc, $out) = acoustic('diff');
is("$rc $out", "0 0 contacts, 0 new, 0 changed, 0 removed, 0 unknown, 0 unchanged, 0 deleted\n",
    'diff of an empty queue');

my $id = $ctms->sql("SELECT email_id FROM ctms.emails WHERE primary_email = 'c1\@example.com'");
$ctms->set(acoustic_skip_unchanged => 'on', acoustic_history_sent => 'on');
my $send = q{WITH claimed AS MATERIALIZED (SELECT array_agg(email_id) AS ids,
        array_agg(generation) AS generations, array_agg(state) AS states
        FROM ctms.claim_acoustic('a', 100, 6, '1 hour'))
    SELECT ctms.finish_acoustic('a', ids, generations, NULL, ARRAY(SELECT fields::text
        FROM ctms.acoustic_outgoing(ids, states) WHERE kind IN ('hashes', 'unchanged')
        ORDER BY array_position(ids, email_id))) FROM claimed};
$ctms->sql("UPDATE ctms.emails SET first_name = 'x' WHERE email_id = '$id'");
($rc, $out) = acoustic('diff');
is($out, "$id  unknown    main\n$id  unknown    newsletter hubs\n"
    . "1 contacts, 0 new, 0 changed, 0 removed, 2 unknown, 0 unchanged, 0 deleted\n",
    'diff of a contact of which nothing is kept');
$ctms->sql($send);
$ctms->sql("UPDATE ctms.emails SET first_name = 'y' WHERE email_id = '$id'");
is((acoustic('diff'))[1], "$id  changed    main\n"
    . "1 contacts, 0 new, 1 changed, 0 removed, 0 unknown, 1 unchanged, 0 deleted\n",
    'of one that has changed');
like((acoustic('diff', '--all'))[1], qr/^$id  unchanged  newsletter hubs$/m, 'with all rows');
$ctms->set(acoustic_deletions => 'on');
$ctms->sql("DELETE FROM ctms.newsletters WHERE email_id = '$id';
    SELECT ctms.delete_contact('c2\@example.com')");
my $diff = $json->decode((acoustic('diff', '--json'))[1]);
is_deeply([ map { "$_->{kind} $_->{name} $_->{change}" } grep { $_->{email_id} eq $id }
        @{ $diff->{rows} } ], [ 'main  changed', 'newsletter hubs removed' ],
    'rows that were removed, as JSON');
is_deeply([ @$diff{qw(contacts changed removed deleted)} ], [ 2, 1, 1, 1 ],
    'with the counts, and deleted contacts');
like((acoustic('status'))[1], qr/^deleted contacts +1 \(0 given up\)$/m, 'which the status shows');
$ctms->sql(q{UPDATE ctms.acoustic_deleted_contact SET retry = 6, retry_after = 'infinity',
    last_error = '2024-05-06T07:08:09Z fault 150: no right to remove'});
my $given_up = (acoustic('status'))[1];
like($given_up, qr/^deleted contacts +1 \(1 given up\)$/m, 'also that it was given up');
like($given_up, qr/^1 +1 +2024-05-06T07:08:09Z +fault 150: no right to remove$/m, 'and why');
is($json->decode((acoustic('diff', '--json', '-q', "SELECT email_id FROM ctms.emails
    WHERE primary_email = 'c3\@example.com'"))[1])->{contacts}, 1, 'of contacts of a query');
is((acoustic('diff', '-q', 'SELECT 1'))[0], 2, 'which must have ids');

# ---- history -----------------------------------------------------------------------------

($rc, $out) = acoustic('history', 'C1@example.com');
like($out, qr/^email_id +time +outcome +error\n$id  \d{4}-\d\d-\d\dT\S+Z +sent/m,
    'history of an address');
is_deeply([ map { $_->{outcome} } @{ $json->decode((acoustic('history', '--json', $id))[1]) } ],
    ['sent'], 'of an id, as JSON');
is((acoustic('history', 'nobody@example.com'))[0], 4, 'of nobody');
is((acoustic('history', 'x'))[0], 4, 'of what is no name of a contact');
done_testing();
