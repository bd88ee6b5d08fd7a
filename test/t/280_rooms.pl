# The code keeps to its rooms and has no circles; a breach of either is found.
use strict;
use warnings;
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$ENV{TESTDIR}/tree";
my @sources = qw(extension common acoustic bulk rest agent cli test bench);

sub add_line
{
    my ($file, $line) = @_;
    my $text = -e "$top/$file" ? PostgreSQL::Test::Utils::slurp_file("$top/$file") : '';
    open my $handle, '>', "$top/$file" or die "$file: $!";
    print $handle $text, $line;
    close $handle;
    return;
}

sub check { return scalar `'$ENV{CTMS_TEST_TOP}/scripts/check-rooms' '$_[0]' 2>&1` }

is(check($ENV{CTMS_TEST_TOP}), '', 'the code keeps to its rooms');
is($?, 0, 'which is a success');

# ---- breaches, all in one copy of the C files ----------------------------------------

my @breaches = (
    [ 'a floor above', 'extension/base/errors.h', qq(#include "extension/contact/contact.h"\n),
        qr{^extension/base/errors\.h:\d+: extension/base may not include extension/contact$}m ],
    [ 'a neighbour', 'extension/contact/claim.c', qq(#include "extension/queue/relations.h"\n),
        qr{^extension/contact/claim\.c:\d+: extension/contact may not include extension/queue$}m ],
    [ 'another program', 'rest/main.c', qq(#include "agent/queue.h"\n),
        qr{rest may not include agent} ],
    [ 'internals of another folder', 'extension/json_schema/uri.c',
        qq(#include "extension/regex/internal.h"\n),
        qr{uri\.c:\d+: extension/regex/internal\.h is for extension/regex alone} ],
    [ 'the server', 'common/buf.c', qq(#include "postgres.h"\n),
        qr{common/buf\.c:\d+: a program may not include the server's postgres\.h} ],
    [ 'a path that is not from the top', 'agent/pace.c', qq(#include "pace.h"\n),
        qr{agent/pace\.c:\d+: write "agent/pace\.h", from the top} ],
    [ 'a name of another room', 'extension/queue/feed.c', qq(\nvoid\nstripe_feed(void)\n{\n}\n),
        qr{feed\.c:\d+: stripe_feed\(\) is named after neither its file nor its folder} ],
    [ 'a table opened beside the gate', 'extension/contact/json.c',
        qq(\nstatic Relation\nopen_it(Oid oid)\n{\n    return table_open(oid, 1);\n}\n),
        qr{contact/json\.c:\d+: only extension/base opens tables} ]);
make_path($top);
system("cd '$ENV{CTMS_TEST_TOP}' && find @sources -name '*.[ch]' | tar -c -T - | tar -x -C '$top'")
    == 0 or die "tar: $?";
make_path("$top/extension/attic");
add_line('extension/attic/box.c', "\n");
add_line($_->[1], $_->[2]) for @breaches;
my $said = check($top);
isnt($?, 0, 'breaches are a failure');
like($said, $_->[3], $_->[0]) for @breaches;
like($said, qr{no line says what extension/attic may include}, 'a folder that is in no line');
is(scalar(() = $said =~ /\n/g), @breaches + 1, 'and nothing else is found');

# ---- circles ---------------------------------------------------------------------

sub circles { return scalar `'$ENV{CTMS_TEST_TOP}/scripts/check-circles' '$_[0]' 2>&1` }

SKIP:
{
    skip 'the programs are built elsewhere', 1 if !-d "$ENV{CTMS_TEST_TOP}/build/obj/rest";
    my $found = circles($ENV{CTMS_TEST_TOP});
    is($?, 0, 'only recursions are circles') or diag $found;
}

# Two files that call each other, compiled where a build has its objects.
sub build_pair
{
    my ($comment) = @_;
    system('rm', '-rf', $top) == 0 or die "rm: $?";
    make_path("$top/common", "$top/build/extension/extension");
    make_path(map { "$top/build/obj/$_" } qw(common acoustic bulk rest agent cli));
    my $declared = "int ping(int);\nint pong(int);\n";
    add_line('common/ping.c',
        "/* ping.c: $comment */\n${declared}int ping(int n) { return pong(n); }\n");
    add_line('common/pong.c',
        "/* pong.c: $comment */\n${declared}int pong(int n) { return n ? ping(n - 1) : 0; }\n");
    for my $name (qw(ping pong))
    {
        system("cd '$top' && cc -c -o build/obj/common/$name.o common/$name.c") == 0
            or die "cc: $?";
    }
    return;
}

build_pair('throws');
like(circles($top), qr{^circle: common/ping\.c common/pong\.c$}m, 'a circle is found');
isnt($?, 0, 'which fails');
build_pair("one recursion with\n * the other");
is(circles($top), "one recursion: common/ping.c common/pong.c\n",
    'a circle that is said to be a recursion is accepted');
is($?, 0, 'which is a success');
done_testing();
