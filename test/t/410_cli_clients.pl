# ctms clients: ids, secrets that verify, exit codes, nothing secret where it does not belong.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test;
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('cli_clients');
my $json = JSON::PP->new->utf8;

# ---- add ------------------------------------------------------------------------

my ($rc, $out, $err) = $ctms->cli(qw(clients add basket --email web@example.com --json));
is($rc, 0, 'added') or diag $err;
my $client = $json->decode($out);
is($client->{client_id}, 'id_basket', 'the id starts with id_');
like($client->{client_secret}, qr/\Asecret_[A-Za-z0-9_-]{43}\z/, 'a secret of 256 bits');
my $row = $ctms->sql("SELECT client_id, email, enabled, last_access IS NULL FROM ctms.api_client");
is($row, 'id_basket|web@example.com|t|t', 'stored');
my $hash = $ctms->sql('SELECT hashed_secret FROM ctms.api_client');
like($hash, qr/\A\$argon2id\$v=19\$m=19456,t=2,p=1\$/, 'hashed with argon2id');
unlike($hash, qr/\Q$client->{client_secret}\E/, 'the secret itself is not stored');

($rc, $out, $err) = $ctms->cli(qw(clients add basket --email other@example.com));
is($rc, 5, 'an existing client is not replaced');
like($err, qr/"id_basket" exists already/, 'and said so');
is($ctms->sql('SELECT email, hashed_secret FROM ctms.api_client'),
    "web\@example.com|$hash", 'the old one stays');
($rc) = $ctms->cli(qw(clients add id_basket --email other@example.com));
is($rc, 5, 'the name with id_ is the same client');

($rc, $out, $err) = $ctms->cli(qw(clients add shell --email sh@example.com));
is($rc, 0, 'added for people');
like($out, qr/^client_id\s+id_shell\nclient_secret\s+secret_\S+\n/, 'id and secret');
my $request = "-d grant_type=client_credentials 'http://localhost:8000/token'";
like($out, qr{curl -sS -u 'id_shell:secret_[^']+' $request},
    'with a curl line');

for my $bad ([''], ['id_'], ['a b'], ["a'b"], ['a/b'], [ 'x' x 253 ], ["\x{c3}\x{a9}"])
{
    ($rc, $out, $err) = $ctms->cli('clients', 'add', @$bad, '--email', 'x@example.com');
    is($rc, 2, 'refused name ' . substr("@$bad", 0, 20)) or diag $out;
}
is(($ctms->cli('clients', 'add', 'x' x 252, '--email', 'x@example.com'))[0], 0, 'the longest name');
for my $bad ('', 'x', '@example.com', 'x@', 'x' x 244 . '@example.com', 'x @example.com',
    "x\@example.com\n", "x\@example.com\x7f")
{
    is(($ctms->cli('clients', 'add', 'y', '--email', $bad))[0], 2,
        'refused address ' . substr($bad, 0, 20));
}
is(($ctms->cli('clients', 'add', 'y'))[0], 2, 'the address is required');
is($ctms->sql('SELECT count(*) FROM ctms.api_client'), 3, 'nothing else was stored');

# ---- list, enable, disable -------------------------------------------------------

($rc, $out) = $ctms->cli(qw(clients list));
is($rc, 0, 'list');
like($out, qr/^client_id\s+email\s+enabled\s+last_access\s+scopes\n/, 'heading');
my $usual = 'contacts:read,contacts:write,stripe:write';
like($out, qr/^id_basket\s+web\@example\.com\s+yes\s+never\s+$usual$/m, 'a row');
unlike($out, qr/argon2/, 'no hash in the list');
($rc, $out) = $ctms->cli(qw(clients list --json));
is_deeply([ map { $_->{client_id} } @{ $json->decode($out) } ],
    [ 'id_basket', 'id_shell', 'id_' . 'x' x 252 ], 'list as JSON');
($rc, $out) = $ctms->cli(qw(clients disable id_basket));
is("$rc $out", "0 id_basket is disabled\n", 'disable');
is($ctms->sql("SELECT enabled FROM ctms.api_client WHERE client_id = 'id_basket'"), 'f',
    'disabled');
($rc, $out) = $ctms->cli(qw(clients enable basket --json));
is_deeply($json->decode($out), { client_id => 'id_basket', enabled => JSON::PP::true },
    'enable, by name, as JSON');
is($ctms->sql("SELECT enabled FROM ctms.api_client WHERE client_id = 'id_basket'"), 't', 'enabled');
for my $verb (qw(enable disable))
{
    ($rc, $out, $err) = $ctms->cli('clients', $verb, 'id_nobody');
    is($rc, 4, "$verb of an unknown client");
    is($err, qq(ctms: there is no client "id_nobody"\n), 'said so');
}
for my $args ([qw(disable baskte)], [qw(scope baskte all)], [qw(rotate-secret baskte --yes)])
{
    ($rc, $out, $err) = $ctms->cli('clients', @$args);
    is("$rc $err", qq(4 ctms: there is no client "id_baskte"; did you mean "id_basket"?\n),
        "$args->[0] of a mistyped one");
}

# ---- scopes ------------------------------------------------------------------------

sub scopes_of
{
    return $ctms->sql("SELECT coalesce(scopes::text, 'all') FROM ctms.api_client
        WHERE client_id = 'id_$_[0]'");
}
is(scopes_of('basket'), "{$usual}", 'a new client may not delete');
for ([ 'contacts:delete' => '{contacts:delete}' ],
    [ 'stripe:write, contacts:read' => '{contacts:read,stripe:write}' ], [ all => 'all' ])
{
    my ($given, $stored) = @$_;
    ($rc, $out) = $ctms->cli('clients', 'scope', 'basket', $given);
    is($rc, 0, "scope $given");
    is(scopes_of('basket'), $stored, 'stored');
    my ($first) = grep { $_->{client_id} eq 'id_basket' }
        @{ $json->decode(($ctms->cli(qw(clients list --json)))[1]) };
    is_deeply($first->{scopes}, $stored eq 'all' ? undef : [ split /,/, $stored =~ s/[{}]//gr ],
        'listed');
}
($rc, $out) = $ctms->cli(qw(clients scope basket contacts:read --json));
is_deeply($json->decode($out), { client_id => 'id_basket', scopes => ['contacts:read'] },
    'scope as JSON');
for my $bad ('', ',', 'contacts', 'contacts:read;stripe:write', 'ALL', 'all,contacts:read')
{
    ($rc, $out, $err) = $ctms->cli('clients', 'scope', 'basket', $bad);
    is($rc, 2, "scope '$bad'");
    like($err, qr/contacts:read,contacts:write,contacts:delete,stripe:write/,
        'is told which there are');
    is(($ctms->cli(qw(clients add bad --email x@example.com --scope), $bad))[0], 2, 'nor added');
}
is(scopes_of('basket'), '{contacts:read}', 'nothing changed');
$ctms->sql(q{UPDATE ctms.api_client SET scopes = '{}' WHERE client_id = 'id_basket'});
like(($ctms->cli(qw(clients list)))[1], qr/^id_basket .* none\s*$/m, 'one that may do nothing');
$ctms->sql(q{UPDATE ctms.api_client SET scopes = '{contacts:read}' WHERE client_id = 'id_basket'});
is(($ctms->cli(qw(clients scope nobody all)))[0], 4, 'an unknown client');
for my $bad ('{admin}', '{NULL}', '{contacts:read,NULL}', '{""}')
{
    is($ctms->sql_error("UPDATE ctms.api_client SET scopes = '$bad'")->{state}, '23514',
        "refused by the table: $bad");
}

# ---- rotate-secret ----------------------------------------------------------------

($rc, $out, $err) = $ctms->cli(qw(clients rotate-secret id_basket));
is($rc, 6, 'a new secret needs a yes');
is($ctms->sql("SELECT hashed_secret FROM ctms.api_client WHERE client_id = 'id_basket'"),
    $hash, 'nothing was done');
($rc, $out, $err) = $ctms->cli(qw(clients rotate-secret id_basket --yes --json));
is($rc, 0, 'rotated') or diag $err;
my $rotated = $json->decode($out);
is($rotated->{client_id}, 'id_basket', 'same id');
isnt($rotated->{client_secret}, $client->{client_secret}, 'new secret');
isnt($ctms->sql("SELECT hashed_secret FROM ctms.api_client WHERE client_id = 'id_basket'"), $hash,
    'new hash');
is(($ctms->cli(qw(clients rotate-secret id_nobody --yes)))[0], 4, 'an unknown client');

# ---- rights -------------------------------------------------------------------------

$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin; CREATE ROLE stranger LOGIN');
is(($ctms->cli(qw(clients add third --email x@example.com --db-url), $ctms->db_url
        . '&user=operator'))[0], 0,
    'a member of ctms_admin manages clients');
($rc, $out, $err) = $ctms->cli(qw(clients list --db-url), $ctms->db_url . '&user=stranger');
is($rc, 1, 'others do not');
like($err, qr/permission denied.*42501/, 'and are told');
done_testing();
