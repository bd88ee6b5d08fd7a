# What the command line prints of stored text: nothing in it commands the terminal or deceives the
# reader, and --json is JSON with the same meaning.
use strict;
use warnings;
use utf8;
use CTMS::Test;
use Encode qw(decode encode);
use IPC::Run;
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('cli_visible');

# A colour by C0 and by C1, text that runs backwards, an isolate, a line separator, a mark, a tag.
my $bad = "\x{1b}[31m\x{9b}2J\x{202e}moc\x{2066}\x{2028}\x{200f}\x{61c}\x{e0041}\x{7f}é";
my $shown = '\x1b[31m\u009b2J\u202emoc\u2066\u2028\u200f\u061c\ue0041\x7fé';
my $hidden = qr/[\x00-\x09\x0b-\x1f\x7f-\x9f\x{61c}\x{200e}\x{200f}\x{2028}-\x{202e}]
    | [\x{2060}-\x{206f}\x{e0000}-\x{e007f}]/x;

# In SQL, as a literal.
my $literal = encode('UTF-8', "E'" . join('', map { $_ =~ /$hidden/ ? sprintf('\\U%08X', ord) : $_ }
        split //, $bad) . "'");
my $id = '332de237-cab7-4461-bcc3-48e68f42bd5c';
$ctms->sql($_) for
    "INSERT INTO ctms.api_client (client_id, email, hashed_secret)
        VALUES ('id_' || $literal, $literal || '\@example.com', 'x')",
    "INSERT INTO ctms.acoustic_field (tablename, field) VALUES ('main', 'f' || $literal)",
    "INSERT INTO ctms.acoustic_newsletter_mapping VALUES ('n' || $literal, 'd' || $literal)",
    "INSERT INTO ctms.emails (email_id, primary_email) VALUES ('$id', 'a' || $literal || '\@x')",
    "INSERT INTO ctms.newsletters (email_id, name) VALUES ('$id', 'n' || $literal)",
    "UPDATE ctms.pending_acoustic SET retry = 1, last_error = 'error ' || $literal",
    "INSERT INTO ctms.acoustic_history (email_id, outcome, error)
        SELECT '$id', 'failed', 'error ' || $literal",
    "SELECT ctms.set_waitlist_schema('w', jsonb_build_object('type', 'object', 'description',
        $literal, 'properties', jsonb_build_object('p' || $literal, '{}'::jsonb)))";

# Runs a command, and looks at all that it prints.
sub prints
{
    my ($name, $pattern, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my (undef, @texts) = $ctms->cli(map { encode('UTF-8', $_) } @command);
    my ($out, $err) = map { decode('UTF-8', $_) } @texts;
    like($out . $err, $pattern, $name);
    unlike($out . $err, $hidden, "$name: nothing else");
    return $out;
}

sub prints_json
{
    my ($name, $find, @command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $json = JSON::PP->new->decode(prints($name, qr/\\u202e/i, @command, '--json'));
    like($find->($json), qr/\Q$bad\E/, "$name: the same text");
    return;
}

for (
    [ 'clients list', sub { $_[0][0]{client_id} } ],
    [ 'acoustic fields list', sub { join ' ', @{ $_[0]{main} } } ],
    [ 'acoustic newsletters list', sub { join ' ', %{ $_[0] } } ],
    [ 'acoustic status', sub { $_[0]{errors}[0]{error} } ],
    [ "acoustic history $id", sub { $_[0][0]{error} } ],
    [ 'acoustic failed', sub { $_[0]{failed}[0]{error} } ],
    [ "acoustic show $id", sub { $_[0][0]{primary_email} } ],
    [ 'acoustic diff', sub { join ' ', map { $_->{name} } @{ $_[0]{rows} } } ],
    [ 'waitlists show w', sub { $_[0]{schema}{description} // $_[0]{description} } ])
{
    my ($command, $find) = @$_;
    my @words = split / /, $command;
    prints($command, $command eq 'waitlists show w' ? qr/\\u202emoc/ : qr/\Q$shown\E/, @words);
    prints_json($command, $find, @words);
}
prints('waitlists list', qr/\Q$shown\E/, qw(waitlists list));
$ctms->sql("INSERT INTO ctms.waitlists (email_id, name, source, fields)
    VALUES ('$id', 'w', $literal, jsonb_build_object('p' || $literal, $literal))");
prints('waitlists rows', qr/^address.*p\Q$shown\E.*\na\Q$shown\E/, qw(waitlists rows w));
prints_json('waitlists rows', sub { $_[0]{address} }, qw(waitlists rows w));
prints('waitlists add', qr/^  a\Q$shown\E\@x: .*field "p\Q$shown\E"/m, qw(waitlists add w),
    '{"additionalProperties": {"type": "null"}}');

# CSV is for files; at a terminal it shows the same as the rest.
$ctms->sql("UPDATE ctms.pending_acoustic SET retry = 1, last_error = 'error ' || $literal");
for my $command ('acoustic failed --csv', 'acoustic dump', 'acoustic dump --raw',
    'acoustic dump --table newsletter', 'waitlists rows w --csv')
{
    my @program = ("$ENV{CTMS_TEST_BIN}/ctms", (split / /, $command), '--db-url', $ctms->db_url);
    IPC::Run::run(\@program, '>', \my $file);
    like(decode('UTF-8', $file), qr/\Q$bad\E/, "$command: a file has it as it is");
    IPC::Run::run(\@program, '>pty>', \my $terminal);
    # The line that shows progress is gone before anything else is printed.
    $terminal = decode('UTF-8', $terminal) =~ s/\r\n/\n/gr =~ s/\r\e\[K(?:[\w ]+\r\e\[K)?//gr;
    like($terminal, qr/\Q$shown\E/, "$command: a terminal does not");
    unlike($terminal, $hidden, "$command: nothing else");
    is($terminal =~ s/,.*//sr, $file =~ s/,.*//sr, "$command: the heading comes first");
}

# The name of a role, which ctms doctor tells.
my $role = encode('UTF-8', join '', map { $_ =~ /$hidden/ ? sprintf('\\+%06X', ord) : $_ }
    split //, $bad);
$ctms->sql("CREATE ROLE U&\"$role\" LOGIN IN ROLE ctms_admin");
my $url = $ctms->db_url . '&user='
    . encode('UTF-8', $bad) =~ s/([^a-z])/sprintf '%%%02X', ord $1/ger;
prints('doctor', qr/as "\Q$shown\E"/, 'doctor', '--db-url', $url);
prints_json('doctor', sub { join ' ', map { $_->{message} } @{ $_[0] } },
    'doctor', '--db-url', $url);

# Columns stay aligned.
my ($head, $row) = split /\n/, prints('alignment', qr/id_/, qw(clients list));
is(index($head, 'enabled'), index($row, 'yes'), 'columns are aligned');

# What was given is printed too, and what the database says of it.
prints('an unknown waitlist', qr/\Q$shown\E/, qw(waitlists show), "x$bad");
prints('an unknown address', qr/\Q$shown\E/, qw(delete --yes --email), "n$bad\@x");
prints('an unknown option', qr/\\u202e/, "--x$bad");
prints('a schema that is wrong', qr/\Q$shown\E/, qw(waitlists add v),
    JSON::PP->new->encode({ type => 'object', properties => { $bad => { type => 'x' } } }));
prints_json('a deletion', sub { $_[0]{email} }, qw(delete --yes --email), "a$bad\@x");
done_testing();
