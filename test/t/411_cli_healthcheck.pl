# ctms healthcheck: the file that the agent writes the time to.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use IPC::Run;
use POSIX ();
use Test::More;

my $file = "$ENV{TESTDIR}/agent-alive";

sub healthcheck
{
    my ($content, %env) = @_;
    unlink $file;
    if (defined $content)
    {
        open my $handle, '>', $file or die $!;
        print $handle $content;
        close $handle;
    }
    local %ENV = (%ENV, CTMS_BACKGROUND_HEALTHCHECK_PATH => $file, %env);
    IPC::Run::run([ "$ENV{CTMS_TEST_BIN}/ctms", 'healthcheck' ], \'', \my $out, \my $err,
        IPC::Run::timeout(60));
    return ($? >> 8, $out, $err);
}

sub ago { my ($seconds, $format) = @_; return POSIX::strftime($format, gmtime(time - $seconds)) }

for my $format ('%Y-%m-%dT%H:%M:%SZ', '%Y-%m-%dT%H:%M:%S.123456+00:00', "%Y-%m-%dT%H:%M:%S+00:00\n")
{
    is((healthcheck(ago(3, $format)))[0], 0, "alive: $format");
    is((healthcheck(ago(300, $format)))[0], 1, "too old: $format");
}
is((healthcheck(ago(3 - 5400, '%Y-%m-%dT%H:%M:%S+01:30')))[0], 0, 'an offset');
is((healthcheck(ago(300 - 5400, '%Y-%m-%dT%H:%M:%S+01:30')))[0], 1, 'an offset, too old');
is((healthcheck(ago(300, '%Y-%m-%dT%H:%M:%SZ'), CTMS_BACKGROUND_HEALTHCHECK_AGE_S => 1000))[0], 0,
    'another limit');

my ($rc, $out, $err) = healthcheck(ago(500, '%Y-%m-%dT%H:%M:%SZ'));
like($err, qr/\Actms: the agent wrote ".*" 50\d s ago, more than 120 s\n\z/, 'says how old');
($rc, $out, $err) = healthcheck(undef);
is($rc, 1, 'missing');
like($err, qr/\Actms: could not read ".*": No such file/, 'and says so');
is((healthcheck(''))[0], 1, 'empty');
for my $bad ('soon', '2024-01-01', ago(3, '%Y-%m-%dT%H:%M:%S'),
    ago(3, '%Y-%m-%dT%H:%M:%SZ x'), "\0" x 100, 'x' x 10000)
{
    is((healthcheck($bad))[0], 1, 'not a time: ' . substr($bad =~ s/\0/./gr, 0, 30));
}
is((healthcheck('x', CTMS_BACKGROUND_HEALTHCHECK_PATH => ''))[0], 2, 'no path');
is((healthcheck('x', CTMS_BACKGROUND_HEALTHCHECK_PATH => $ENV{TESTDIR}))[0], 1, 'a folder');
my $fifo = "$ENV{TESTDIR}/fifo";
POSIX::mkfifo($fifo, 0600) or die "mkfifo: $!";
is((healthcheck('x', CTMS_BACKGROUND_HEALTHCHECK_PATH => $fifo))[0], 1, 'a FIFO is not waited for');
done_testing();
