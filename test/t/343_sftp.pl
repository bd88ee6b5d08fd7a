# Files on an SFTP server (bulk/sftp.c): uploads that break, files that are not there, and servers
# and accounts that are not what they should be. The unit test is the client.
use strict;
use warnings;
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);
use IO::Socket::INET;
use IPC::Run;
use POSIX ();
use Test::More;

plan skip_all => CTMS::Sftp::no_server() if CTMS::Sftp::no_server();
my $client = "$ENV{CTMS_TEST_BIN}/../test/unit/sftp";
plan skip_all => "$client is not there: make unit-tests" unless -x $client;

my $BIG = 150 << 20;
my $folder = "$ENV{TESTDIR}/files_343";
mkdir $folder or die "$folder: $!";
my $sftp = CTMS::Sftp->new;
my ($upload, $download) = map { $sftp->root . "/$_" } qw(upload download);
write_file("$folder/small", "email_id\n1\n");
write_file("$folder/big", '');
truncate "$folder/big", $BIG or die "truncate: $!";

sub write_file
{
    my ($file, $content) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $content;
    close $out;
    return;
}

# Starts calls of the client with settings of a server, changed by a hash.
sub start_client
{
    my ($server, $changes, @calls) = @_;
    my $said = { out => '', err => '' };
    local %ENV = (%ENV, $server->settings);
    for my $name (keys %$changes)
    {
        delete $ENV{"CTMS_ACOUSTIC_SFTP_$name"};
        $ENV{"CTMS_ACOUSTIC_SFTP_$name"} = $changes->{$name} if defined $changes->{$name};
    }
    $said->{run} = IPC::Run::start([ $client, @calls ], \undef, '>', \$said->{out}, '2>',
        \$said->{err}, IPC::Run::timeout(300));
    return $said;
}

# What the calls have answered, without the last line, which is how much memory it was.
sub answers
{
    my ($said) = @_;
    $said->{run}->finish;
    is($?, 0, 'the client ends well') or diag $said->{err};
    $said->{out} =~ s/^kilobytes: (\d+)\n\z//m;
    $said->{kilobytes} = $1;
    return $said->{out};
}
sub ask { my ($changes, @calls) = @_; return answers(start_client($sftp, $changes, @calls)) }

sub mode { return sprintf '%04o', (lstat $_[0])[2] & 07777 }

subtest 'small files' => sub {
    is(ask({}, 'upload', "$folder/small", 'a.csv', 'size', 'a.csv'), "upload: ok\nsize: ok\n11\n",
        'upload');
    is(slurp("$upload/a.csv"), "email_id\n1\n", 'content');
    is(mode("$upload/a.csv"), '0600', 'nobody else may read it');
    is(ask({}, 'rename', 'a.csv', 'b.csv'), "rename: ok\n", 'rename');
    ok(!-e "$upload/a.csv" && -s "$upload/b.csv" == 11, 'renamed');
    is(ask({}, 'rename', 'a.csv', 'b.csv'), "rename: ok\n", 'once more');
    is(-s "$upload/b.csv", 11, 'harms nothing');
    write_file("$upload/a.csv", 'new');
    is(ask({}, 'rename', 'a.csv', 'b.csv'), "rename: ok\n", 'over another');
    is(slurp("$upload/b.csv"), 'new', 'replaced');
    like(ask({}, 'rename', 'x.csv', 'y.csv'), qr/^rename: missing: /, 'rename nothing');
    is(ask({}, 'remove_upload', 'b.csv'), "remove_upload: ok\n", 'remove');
    ok(!-e "$upload/b.csv", 'removed');
    like(ask({}, 'remove_upload', 'b.csv'), qr/^remove_upload: missing: /, 'remove once more');
    like(ask({}, 'size', 'b.csv'), qr/^size: missing: /, 'size of nothing');
    write_file("$folder/empty", '');
    is(ask({}, 'upload', "$folder/empty", 'e.csv', 'size', 'e.csv'), "upload: ok\nsize: ok\n0\n",
        'an empty file');
};

subtest 'an older file is replaced, not written to' => sub {
    write_file("$folder/victim", 'precious');
    symlink "$folder/victim", "$upload/l.csv" or die "symlink: $!";
    write_file("$upload/o.csv", 'x' x 1000);
    chmod 0644, "$upload/o.csv";
    is(ask({}, map { ('upload', "$folder/small", $_) } qw(l.csv o.csv)),
        "upload: ok\nupload: ok\n", 'upload');
    is(slurp("$folder/victim"), 'precious', 'nothing went through the link');
    is(slurp("$upload/$_"), "email_id\n1\n", "$_: content") for qw(l.csv o.csv);
    is(mode("$upload/$_"), '0600', "$_: mode") for qw(l.csv o.csv);
};

subtest 'results' => sub {
    write_file("$download/1.err", "LINE,REASON\n");
    is(ask({}, 'download', '1.err', "$folder/1.err"), "download: ok\n", 'download');
    is(slurp("$folder/1.err"), "LINE,REASON\n", 'content');
    is(mode("$folder/1.err"), '0600', 'nobody else may read it');
    like(ask({}, 'download', '2.err', "$folder/2.err"), qr/^download: missing: /, 'none');
    # The client takes a megabyte.
    write_file("$download/3.err", 'x' x (1 << 20));
    write_file("$download/4.err", 'x' x ((1 << 20) + 1));
    is(ask({}, 'download', '3.err', "$folder/3.err"), "download: ok\n", 'as long as allowed');
    like(ask({}, 'download', '4.err', "$folder/4.err"), qr/^download: refused: .*too long/,
        'longer');
    is_deeply([ grep { !/3\.err$/ } glob "$folder/[2-4].err*" ], [], 'no file of what failed');
    like(ask({}, 'download', '1.err', "$folder/none/1.err"), qr/^download: local: /,
        'no folder here');
    is(ask({}, 'remove_download', '1.err'), "remove_download: ok\n", 'remove');
    ok(!-e "$download/1.err", 'removed');
};

subtest 'a large file, and connections that break' => sub {
    my $said = start_client($sftp, {}, 'upload', "$folder/big", 'big.csv');
    for my $at (1 << 20, 60 << 20)
    {
        poll_until(sub { $said->{run}->pump_nb; (-s "$upload/big.csv" // 0) >= $at },
            "$at bytes are there");
        cmp_ok($sftp->break_connections, '>', 0, "the connection breaks after $at bytes");
    }
    is(answers($said), "upload: ok\n", 'it goes on');
    is(system('cmp', '-s', "$folder/big", "$upload/big.csv"), 0, 'content');
    is(mode("$upload/big.csv"), '0600', 'mode');
    cmp_ok($said->{kilobytes}, '<', 40 << 10, 'memory') unless $client =~ /sanitize/;

    like(ask({}, 'stop=1', 'upload', "$folder/big", 'stop.csv'), qr/^upload: (?:stopped|ok)/,
        'stopped');
    $said = start_client($sftp, {}, 'upload', "$folder/big", 'dead.csv');
    poll_until(sub { $said->{run}->pump_nb; (-s "$upload/dead.csv" // 0) >= 1 << 20 }, 'some');
    $sftp->stop;
    like(answers($said), qr/^upload: transient: SFTP server 127\.0\.0\.1: could not upload dead/,
        'the server ends');
    like(ask({}, 'size', 'big.csv'), qr/^size: transient: .*onnect/, 'no server');
    unlink glob "$upload/*";
};

subtest 'no room' => sub {
    $sftp->start(file_bytes => 1 << 20);
    like(ask({}, 'upload', "$folder/big", 'full.csv'),
        qr/^upload: refused: .* takes only 1048576 of the $BIG bytes of full\.csv: is its disk f/,
        'a full disk');
    $sftp->stop;
    $sftp->start;
    unlink glob "$upload/*";
};

subtest 'no rights' => sub {
    write_file("$upload/r.csv", 'x');
    write_file("$download/r.err", 'x');
    chmod 0, "$download/r.err";
    chmod 0500, $upload;
    like(ask({}, 'upload', "$folder/small", 'a.csv'), qr/^upload: refused: .*ermission/, 'upload');
    like(ask({}, 'remove_upload', 'r.csv'), qr/^remove_upload: refused: .*ermission/, 'remove');
    like(ask({}, 'rename', 'r.csv', 's.csv'), qr/^rename: refused: .*ermission/, 'rename');
    like(ask({}, 'download', 'r.err', "$folder/r.err"), qr/^download: refused: .*ermission/,
        'download');
    chmod 0700, $upload;
    rename $upload, "$upload.not" or die "rename: $!";
    like(ask({}, 'upload', "$folder/small", 'a.csv'), qr/^upload: refused: .*o such file/,
        'no folder');
    rename "$upload.not", $upload or die "rename: $!";
};

subtest 'the host' => sub {
    my ($port, $known) = ($sftp->port, $sftp->known_hosts);
    $sftp->write_known_hosts;
    my $advice = "ssh-keyscan -p $port 127.0.0.1 >>$known";
    like(ask({}, 'size', 'r.csv'),
        qr/^size: refused: .*its key is not in \Q$known\E: .*\Q$advice\E$/m, 'is not known');
    $sftp->make_key('other');
    $sftp->write_known_hosts('other');
    like(ask({}, 'size', 'r.csv'), qr/^size: refused: .*its key is not the one in \Q$known\E/,
        'has another key');
    like(ask({}, 'upload', "$folder/small", 'h.csv'), qr/^upload: refused: .*not the one/,
        'nothing is uploaded to it');
    ok(!-e "$upload/h.csv", 'not even a name');
    # As the message says.
    my $line = qx(ssh-keyscan -p $port 127.0.0.1 2>/dev/null);
    write_file($known, $line);
    is(ask({}, 'size', 'r.csv'), "size: ok\n1\n", 'is known by the line of ssh-keyscan');
    $sftp->write_known_hosts('host');
    like(ask({ KNOWN_HOSTS_FILE => undef }, 'size', 'r.csv'), qr/^size: refused: .*KNOWN_HOSTS/,
        'no file');
};

subtest 'the key' => sub {
    my $other = $sftp->make_key('stranger');
    like(ask({ KEY_FILE => $other }, 'size', 'r.csv'),
        qr/^size: refused: .*does not let CTMS_ACOUSTIC_SFTP_USER in with the key/, 'another');
    my $locked = $sftp->make_key('locked', 'open sesame');
    $sftp->authorize('locked');
    is(ask({ KEY_FILE => $locked, KEY_PASSPHRASE => 'open sesame' }, 'size', 'r.csv'),
        "size: ok\n1\n", 'with a passphrase');
    my $said = ask({ KEY_FILE => $locked, KEY_PASSPHRASE => 'not sesame' }, 'size', 'r.csv');
    like($said, qr/^size: refused: .*passphrase/, 'with a wrong one');
    unlike($said, qr/sesame/, 'which is not told');
    like(ask({ KEY_FILE => "$folder/small" }, 'size', 'r.csv'), qr/^size: refused: /, 'no key');
    $sftp->authorize('key');
};

subtest 'the password' => sub {
    plan skip_all => CTMS::Sftp::no_password_server() if CTMS::Sftp::no_password_server();
    my $server = CTMS::Sftp->new(password => 'pass word');
    my $answers = sub { return answers(start_client($server, @_)) };
    is($answers->({}, 'upload', "$folder/small", 'a.csv'), "upload: ok\n", 'upload');
    is(slurp($server->root . '/upload/a.csv'), "email_id\n1\n", 'content');
    my $said = $answers->({ PASSWORD => 'pass wort' }, 'size', 'a.csv');
    like($said, qr/^size: refused: .*in with the password/, 'a wrong one');
    unlike($said, qr/pass wor|acoustic\@/, 'which is not told');
    like($answers->({ KEY_FILE => $sftp->key_file, PASSWORD => undef }, 'size', 'a.csv'),
        qr/^size: refused: /, 'a key instead');
    is($answers->({ KEY_FILE => $sftp->key_file }, 'size', 'a.csv'), "size: ok\n11\n",
        'a key that is not taken, then the password');
};

# Before its key is known, anybody can be the server.
subtest 'servers that send without end' => sub {
    my $packet = pack('NC', 1012, 10) . "\x32" . 'x' x 1000 . "\0" x 10;
    my %floods = (lines => "hello\r\n" x 10_000, packets => $packet x 1000);
    for my $kind (sort keys %floods)
    {
        my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
            or die "listen: $!";
        my $pid = fork() // die "fork: $!";
        if (!$pid)
        {
            local $SIG{PIPE} = 'IGNORE';
            while (my $connection = $listener->accept)
            {
                print {$connection} "SSH-2.0-flood\r\n" if $kind eq 'packets';
                1 while print {$connection} $floods{$kind};
            }
            POSIX::_exit(0);
        }
        my $said = start_client($sftp, { URL => 'sftp://127.0.0.1:' . $listener->sockport },
            'size', 'a.csv');
        like(answers($said), qr/^size: transient: .*it sends without end/,
            "$kind: the connection is cut");
        cmp_ok($said->{kilobytes}, '<', 300_000, "$kind: before they fill the memory");
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
};

done_testing;
