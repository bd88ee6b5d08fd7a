# The settings that the programs print, compared with those in docs/configuration.md.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use Test::More;

my $guide = slurp("$ENV{CTMS_TEST_TOP}/docs/configuration.md");
my %described = $guide =~ /^\| `([A-Z]\w+)`(?: or `PORT`)? \|\s*([^|]*?)\s*\|/mg;
my %found;
for my $program (qw(ctms-rest ctms-agent))
{
    my $help = `$ENV{CTMS_TEST_BIN}/$program --help`;
    is($? >> 8, 0, "$program --help");
    while ($help =~ /^  ((?:CTMS|SENTRY)_\w+)(?: or \w+)?  \((.*)\)$/mg)
    {
        my ($name, $what) = ($1, $2);
        my ($default) = $what =~ /default ([^,]*)/;
        my $expected = $what =~ /required/ ? 'required' : defined $default ? "`$default`" : '';
        $expected = 'no limit' if $name =~ /MAX_(RETRY_)?BACKLOG/;
        is($described{$name}, $expected, "$name: its default is documented") unless $found{$name}++;
    }
    like(`$ENV{CTMS_TEST_BIN}/$program --version`, qr/^$program \d+\.\d+$/, "$program --version");
    is(system("$ENV{CTMS_TEST_BIN}/$program --nonsense 2>/dev/null") >> 8, 2,
        "$program with an unknown argument");
    is(system("$ENV{CTMS_TEST_BIN}/$program --config /nonexistent 2>/dev/null") >> 8, 2,
        "$program without its file");
    my $said = `timeout 30 $ENV{CTMS_TEST_BIN}/$program --config "$ENV{TESTDIR}" 2>&1`;
    is($? >> 8, 2, "$program with a folder for its file");
    like($said, qr/^$program: could not read "\Q$ENV{TESTDIR}\E": it is a folder$/, '... says so');
}
is_deeply([ sort keys %described ], [ sort keys %found ],
    'the guide and the programs know the same settings');
done_testing();
