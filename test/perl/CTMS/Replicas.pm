package CTMS::Replicas;

# Streaming replicas of the database of a test, and clients of the REST server that notice old
# reads.
#
#   my @replicas = CTMS::Replicas::start($ctms, 2);       # 'replica1', 'replica2'
#   CTMS::Replicas::url(@nodes)                           # a CTMS_DB_READ_URL
#   my %reads = CTMS::Replicas::reads($ctms);             # ('1 answered' => 10, …)
#   my @wrong = CTMS::Replicas::use_contacts($ctms, \@ids, $rounds);
#   CTMS::Replicas::freeze($node), CTMS::Replicas::thaw($node)

use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use File::Temp qw(tempfile);
use HTTP::Tiny;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use Time::HiRes ();

# What the primary must have in its postgresql.conf.
our $CONF = "wal_level = replica\nmax_wal_senders = 10\nhot_standby = on\nwal_log_hints = on\n";

my $json = JSON::PP->new->utf8;

sub start
{
    my ($ctms, $count) = @_;
    my $primary = $ctms->node;
    $primary->backup('base');
    return map {
        my $node = PostgreSQL::Test::Cluster->new("replica$_");
        $node->init_from_backup($primary, 'base', has_streaming => 1);
        $node->start;
        $primary->wait_for_catchup($node, 'replay', $primary->lsn('insert'));
        $node;
    } 1 .. $count;
}

sub url
{
    my @nodes = @_;
    return 'postgresql:///ctms?host=' . join(',', map { $_->host } @nodes) . '&port='
        . join(',', map { $_->port } @nodes);
}

sub reads
{
    my ($ctms) = @_;
    my $text = $ctms->request(GET => '/metrics', undef, { Authorization => undef })->{content};
    return $text =~ /^ctms_db_reads_total\{server="\w+",outcome="\w+"\} \d+$/m
        ? map { /server="(\w+)",outcome="(\w+)"\} (\d+)/ ? ("$1 $2" => $3) : () } split /\n/, $text
        : die "no reads in the metrics: $text";
}

# One client renames its contact and reads it, again and again. Returns what went wrong.
sub use_contact
{
    my ($ctms, $id, $rounds) = @_;
    my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 60);
    my $url = "http://127.0.0.1:$ctms->{rest_port}/ctms/$id";
    my %headers = (Authorization => "Bearer $ctms->{token}", 'Content-Type' => 'application/json');
    my @wrong;
    for my $round (1 .. $rounds)
    {
        my $name = "round $round of $$";
        my $r = $http->patch($url, { headers => \%headers,
                content => $json->encode({ email => { first_name => $name } }) });
        push @wrong, "PATCH: $r->{status}" if $r->{status} != 200;
        $r = $http->get($url, { headers => \%headers });
        my $found = eval { $json->decode($r->{content})->{email}{first_name} } // 'nothing';
        push @wrong, "GET: $r->{status}, \"$found\" instead of \"$name\""
            if $r->{status} != 200 || $found ne $name;
    }
    return @wrong;
}

# Runs it for each argument in a process of its own, all at once. Returns the lines of all.
sub at_once
{
    my ($code, @arguments) = @_;
    my %file;
    for my $argument (@arguments)
    {
        my (undef, $name) = tempfile(DIR => $ENV{TESTDIR}, UNLINK => 1);
        my $pid = fork // die "fork: $!";
        if (!$pid)
        {
            my @lines = eval { $code->($argument) };
            open my $out, '>', $name or die "$name: $!";
            print {$out} map({ "$_\n" } @lines, $@ || ()), "ended\n";
            close $out;
            POSIX::_exit(0);
        }
        $file{$pid} = $name;
    }
    waitpid $_, 0 for keys %file;
    return map {
        my @lines = split /\n/, slurp($_);
        (pop @lines // '') eq 'ended' ? @lines : 'died';
    } values %file;
}

sub use_contacts
{
    my ($ctms, $ids, $rounds) = @_;
    return at_once(sub { use_contact($ctms, $_[0], $rounds) }, @$ids);
}

# The server answers nobody any more, as one whose disk hangs; its connections stay open. Its first
# process is stopped first, so that it starts no more.
sub freeze { my ($node) = @_; return signal_all($node, 'STOP') }
sub thaw { my ($node) = @_; return signal_all($node, 'CONT') }

sub signal_all
{
    my ($node, $signal) = @_;
    my ($postmaster) = slurp($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
    kill $signal, $postmaster;
    return kill $signal, split ' ', qx(ps -o pid= --ppid $postmaster);
}

1;
