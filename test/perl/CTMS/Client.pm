package CTMS::Client;

# A client that somebody's generator makes from /openapi.json, in a folder of its own with the files
# of test/clients/LANGUAGE, and a ctms for it.
#
#   my $client = CTMS::Client->new('python');
#   run_tool($client->{folder}, 'it is made', 'generator', 'openapi.json');
#   my $output = $client->run('python3', 'round_trip.py');

use strict;
use warnings;
use CTMS::Test;
use Exporter 'import';
use File::Copy qw(copy);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw(run_tool);

sub new
{
    my ($class, $language) = @_;
    my $self = bless { ctms => CTMS::Test->new("client_$language"),
        folder => PostgreSQL::Test::Utils::tempdir("client_$language") }, $class;
    for my $file (glob "$ENV{CTMS_TEST_TOP}/test/clients/$language/*")
    {
        copy($file, $self->{folder}) or die "copy $file: $!";
    }
    $self->{url} = $self->{ctms}->start_rest;
    $self->{ctms}->login;
    open my $out, '>:raw', "$self->{folder}/openapi.json" or die "openapi.json: $!";
    print $out $self->{ctms}->request(GET => '/openapi.json')->{content};
    close $out or die "openapi.json: $!";
    return $self;
}

# Runs a command in the folder, which must succeed; returns what it prints.
sub run_tool
{
    my ($folder, $name, @command) = @_;
    my ($out, $err) = ('', '');
    my $is_done = IPC::Run::run(\@command, '<', \'', '>', \$out, '2>', \$err,
        init => sub { chdir $folder or die "chdir: $!" }, IPC::Run::timeout(300));
    ok($is_done, $name) or diag($out, $err);
    return $out;
}

# Runs the round trip; returns what it prints.
sub run
{
    my ($self, @command) = @_;
    my $ctms = $self->{ctms};
    return run_tool($self->{folder}, 'a contact is created, read, changed and deleted', @command,
        $self->{url}, @$ctms{qw(client_id client_secret)});
}

1;
