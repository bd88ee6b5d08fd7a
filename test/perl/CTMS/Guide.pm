package CTMS::Guide;

# The guides of docs/: the blocks of shell below a heading, run as they are written, in a folder of
# their own. Only what names servers is replaced.
#
#   my $guide = CTMS::Guide->new('operations', 'A reporting database', $node);
#   $guide->skip_variables;                            # the block that says where the servers are
#   $guide->run('1. a role', PRIMARY => 'host=…');     # the next block, with variables
#   $guide->finish;                                    # there are no more blocks

use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use Test::More;

sub new
{
    my ($class, $document, $heading, $node) = @_;
    my ($section) = slurp("$ENV{CTMS_TEST_TOP}/docs/$document.md")
        =~ /^(#+ \Q$heading\E\n.*?)(?=^##|\z)/ms or die "$document.md has no $heading";
    my @blocks;
    while ($section =~ /^( *)```bash\n(.*?)^ *```$/msg)
    {
        my ($indent, $block) = ($1, $2);
        push @blocks, $block =~ s/^$indent//mgr;
    }
    my $folder = PostgreSQL::Test::Utils::tempdir();
    return bless { heading => $heading, blocks => \@blocks, node => $node, folder => $folder },
        $class;
}

sub folder { return $_[0]{folder} }

# Blocks that only give values to variables are for the reader: the test has its own.
sub skip_variables
{
    my ($self) = @_;
    my $block = shift @{ $self->{blocks} };
    like($block, qr/\A(?:[A-Z_]+='[^']*'\n)+\z/, "$self->{heading}: variables");
    return $block =~ /^([A-Z_]+)=/mg;
}

# What runs a block of shell, with variables; for IPC::Run. Each command of it must succeed, in
# pipes too.
sub shell
{
    my ($self, $block, %environment) = @_;
    return (
        [ 'bash', '-euo', 'pipefail', '-c', $block ],
        init => sub {
            chdir $self->{folder} or die "$self->{folder}: $!";
            %ENV = (%ENV, PGHOST => $self->{node}->host, PGPORT => $self->{node}->port,
                %environment);
        });
}

# Runs the next block; returns its output.
sub run
{
    my ($self, $what, %environment) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $block = shift @{ $self->{blocks} } // 'false';
    my ($command, @init) = $self->shell($block, %environment);
    IPC::Run::run($command, '<', \'', '>', \my $out, '2>', \my $err, @init,
        IPC::Run::timeout(300));
    is($? >> 8, 0, "$self->{heading}: $what") or diag "$block\n$out\n$err";
    $self->{messages} = $err;
    return $out;
}

# Runs the next command, a line of its own, until it prints this; the rest of the block stays.
sub wait_for
{
    my ($self, $what, $expected, %environment) = @_;
    $self->{blocks}[0] =~ s/\A(.*\n)// or die "nothing to wait with: $what";
    my ($command, @init) = $self->shell($1, %environment);
    poll_until(sub {
        IPC::Run::run($command, '<', \'', '>', \my $out, '2>', \my $err, @init);
        return $out eq "$expected\n";
    }, $what, 120);
    shift @{ $self->{blocks} } if $self->{blocks}[0] eq '';
    pass("$self->{heading}: $what");
    return;
}

sub messages { return $_[0]{messages} }

sub finish
{
    my ($self) = @_;
    is(join('', @{ $self->{blocks} }), '', "$self->{heading}: that is all");
    return;
}

1;
