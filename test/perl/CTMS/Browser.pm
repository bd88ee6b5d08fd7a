package CTMS::Browser;

# Headless Chromium, driven over a pipe with the DevTools protocol.
#
#   my $browser = CTMS::Browser->new or plan skip_all => 'no Chromium';
#   $browser->open($url);
#   my $value = $browser->run('document.title');         # of an expression of JavaScript
#   $browser->wait_for("document.querySelector('a')", 'the link');
#   $browser->click('button'); $browser->type_into('input', 'a text');   # as a hand does
#   $browser->screenshot('what it shows');    # NAME.png in the folder CTMS_TEST_SCREENSHOTS, if set
#
# The browser is gone with the object, and so are its profile and its other files.

use strict;
use warnings;
use CTMS::Test qw(poll_until);
use IO::Handle;
use IO::Select;
use JSON::PP;
use File::Path qw(rmtree);
use MIME::Base64 qw(decode_base64);
use POSIX ();
use PostgreSQL::Test::Utils;

my $json = JSON::PP->new->utf8->allow_nonref;

sub new
{
    my ($class) = @_;
    my ($program) = grep { -x } map { ("$_/chromium", "$_/chromium-browser") } split /:/,
        $ENV{PATH};
    return unless $program;
    my $home = PostgreSQL::Test::Utils::tempdir('chromium');
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
        # All its processes are ended together, and all that it writes is in one place.
        POSIX::setsid();
        delete @ENV{ grep { /^(?:XDG_|DBUS_|DISPLAY$)/ } keys %ENV };
        @ENV{qw(HOME TMPDIR)} = ($home) x 2;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        no warnings 'exec';
        exec $program, '--headless=new', '--no-sandbox', '--disable-gpu',
            '--disable-dev-shm-usage', '--no-first-run',
            '--disable-background-networking', '--disable-breakpad',
            '--no-default-browser-check', '--remote-debugging-pipe',
            "--user-data-dir=$home/profile", 'about:blank';
        POSIX::_exit(127);
    }
    close $browser_in;
    close $browser_out;
    $out->autoflush(1);
    my $self = bless { pid => $pid, home => $home, owner => $$, in => $in, out => $out,
        buffer => '', last_id => 0, events => [] }, $class;
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

sub find { my ($selector) = @_; return 'document.querySelector(' . $json->encode($selector) . ')' }

sub has { my ($self, $selector) = @_; return $self->run('!!' . find($selector)) }

sub text_of { my ($self, $selector) = @_; return $self->run(find($selector) . '?.textContent') }

# Where the middle of the element is, once it is in view, stands still, and nothing covers it.
sub place_of
{
    my ($self, $selector) = @_;
    my $place = sprintf <<'SCRIPT', find($selector);
(e => {
    if (!e) return null;
    e.scrollIntoView({ block: 'center', behavior: 'instant' });
    const r = e.getBoundingClientRect();
    const [x, y] = [r.x + r.width / 2, r.y + r.height / 2];
    return e.contains(document.elementFromPoint(x, y)) ? `${x} ${y}` : null;
})(%s)
SCRIPT
    my $last = '';
    return split / /, poll_until(sub {
        my $now = $self->run($place) // '';
        (my $before, $last) = ($last, $now);
        return length $now && $now eq $before ? $now : '';
    }, "$selector can be clicked", 60);
}

sub click
{
    my ($self, $selector) = @_;
    my ($x, $y) = $self->place_of($selector);
    $self->call('Input.dispatchMouseEvent',
        { type => $_, x => $x + 0, y => $y + 0, button => 'left', clickCount => 1 })
        for qw(mousePressed mouseReleased);
    return;
}

# In place of what is there. Then the field is left, as with Tab, so that the page takes it.
sub type_into
{
    my ($self, $selector, $text) = @_;
    $self->click($selector);
    $self->run(find($selector) . '.select()');
    $self->call('Input.insertText', { text => $text });
    $self->run(find($selector) . '.blur()');
    return;
}

sub set_width
{
    my ($self, $width) = @_;
    $self->call('Emulation.setDeviceMetricsOverride', { width => $width, height => 900,
            deviceScaleFactor => 1, mobile => JSON::PP::false });
    return;
}

# What is beside the window, so that one must scroll sideways: the elements, and how far they reach.
sub beside_window
{
    my ($self) = @_;
    return $self->run(<<'SCRIPT');
(page => {
    if (page.scrollWidth <= page.clientWidth) return [];
    const isClipped = e => e && (getComputedStyle(e).overflowX !== 'visible'
        || isClipped(e.parentElement));
    return Array.from(document.body.querySelectorAll('*'))
        .filter(e => e.getBoundingClientRect().right > page.clientWidth
            && !isClipped(e.parentElement))
        .map(e => `${e.tagName} ${e.className} ${e.getBoundingClientRect().right}`);
})(document.documentElement)
SCRIPT
}

sub screenshot
{
    my ($self, $name) = @_;
    my $folder = $ENV{CTMS_TEST_SCREENSHOTS} or return;
    my $file = "$folder/$name.png";
    CORE::open my $out, '>:raw', $file
        or die 'ctms: the user "' . getpwuid($>) . qq(" cannot write $file: $!\n);
    print $out decode_base64($self->call('Page.captureScreenshot')->{data});
    close $out or die "$file: $!";
    return;
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
    kill KILL => -$self->{pid}, $self->{pid};
    waitpid $self->{pid}, 0;
    poll_until(sub { !kill 0, -$self->{pid} }, 'all processes of the browser are gone');
    rmtree($self->{home});
    return;
}

1;
