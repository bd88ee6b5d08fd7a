package CTMS::Browser;

# Headless Chromium, driven over a pipe with the DevTools protocol.
#
#   my $browser = CTMS::Browser->new or plan skip_all => 'no Chromium';
#   $browser->open($url);
#   my $value = $browser->run('document.title');         # of an expression of JavaScript
#   $browser->wait_for("document.querySelector('a')", 'the link');

use strict;
use warnings;
use CTMS::Test qw(poll_until);
use IO::Handle;
use IO::Select;
use JSON::PP;
use POSIX ();

my $json = JSON::PP->new->utf8->allow_nonref;

sub new
{
    my ($class) = @_;
    my ($program) = grep { -x } map { ("$_/chromium", "$_/chromium-browser") } split /:/,
        $ENV{PATH};
    return unless $program;
    pipe my $browser_in, my $out;
    pipe my $in, my $browser_out;
    my $pid = fork // die "fork: $!";
    if (!$pid)
    {
        # The browser reads commands from descriptor 3 and writes answers to 4.
        my @ends = map { POSIX::dup(fileno $_) } $browser_in, $browser_out;
        POSIX::dup2($ends[0], 3);
        POSIX::dup2($ends[1], 4);
        POSIX::close($_) for 5 .. 63;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        no warnings 'exec';
        exec $program, '--headless=new', '--no-sandbox', '--disable-gpu',
            '--disable-dev-shm-usage', '--no-first-run',
            '--disable-background-networking', '--remote-debugging-pipe',
            "--user-data-dir=$ENV{TESTDIR}/chromium", 'about:blank';
        POSIX::_exit(127);
    }
    close $browser_in;
    close $browser_out;
    $out->autoflush(1);
    my $self = bless { pid => $pid, owner => $$, in => $in, out => $out, buffer => '',
        last_id => 0, events => [] }, $class;
    my $target = $self->call('Target.createTarget', { url => 'about:blank' })->{targetId};
    $self->{session} = $self->call('Target.attachToTarget',
        { targetId => $target, flatten => JSON::PP::true })->{sessionId};
    $self->call($_) for 'Page.enable', 'Runtime.enable', 'Log.enable';
    return $self;
}

sub read_message
{
    my ($self, $timeout_s) = @_;
    while (1)
    {
        my $end = index $self->{buffer}, "\0";
        if ($end >= 0)
        {
            my $message = substr $self->{buffer}, 0, $end + 1, '';
            chop $message;
            return $json->decode($message);
        }
        die 'the browser does not answer' unless IO::Select->new($self->{in})->can_read($timeout_s);
        sysread($self->{in}, $self->{buffer}, 65536, length $self->{buffer})
            or die 'the browser is gone';
    }
}

sub call
{
    my ($self, $method, $params) = @_;
    my $id = ++$self->{last_id};
    my %message = (id => $id, method => $method,
        params => $params // {}, $self->{session} ? (sessionId => $self->{session}) : ());
    print { $self->{out} } $json->encode(\%message) . "\0";
    while (1)
    {
        my $message = $self->read_message(60);
        if (!$message->{id}) { push @{ $self->{events} }, $message; next }
        next if $message->{id} != $id;
        die "$method: $message->{error}{message}" if $message->{error};
        return $message->{result};
    }
}

sub open { my ($self, $url) = @_; return $self->call('Page.navigate', { url => $url }) }

sub run
{
    my ($self, $expression) = @_;
    my $result = $self->call('Runtime.evaluate', { expression => $expression,
            returnByValue => JSON::PP::true, awaitPromise => JSON::PP::true });
    die "$expression: $result->{exceptionDetails}{exception}{description}"
        if $result->{exceptionDetails};
    return $result->{result}{value};
}

sub wait_for
{
    my ($self, $expression, $what) = @_;
    return poll_until(sub { $self->run("!!($expression)") }, $what // $expression, 60);
}

# What the page reported: blocked by its policy, exceptions, failed requests.
sub complaints
{
    my ($self) = @_;
    return map { $_->{params}{entry}{text} // $_->{params}{exceptionDetails}{text} // '?' }
        grep { $_->{method} =~ /^(Log\.entryAdded|Runtime\.exceptionThrown)$/
            && ($_->{params}{entry}{level} // 'error') eq 'error' } @{ $self->{events} };
}

sub DESTROY
{
    my ($self) = @_;
    local $?;
    return if $self->{owner} != $$;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

1;
