package CTMS::PgBouncer;

# A PgBouncer before the database of a test.
#
#   my $bouncer = CTMS::PgBouncer->new($ctms, 'one', pool_mode => 'transaction', …);
#   $bouncer->url('user')      a CTMS_DB_URL through it
#   $bouncer->stop
#
# Options are settings of pgbouncer.ini, and server: the host and port of a balancer to go through
# instead of the database's own. It is Debian's, or the one that CTMS_TEST_PGBOUNCER names.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# Debian's, and another one if the environment names it.
sub programs { return grep { defined && -x } '/usr/sbin/pgbouncer', $ENV{CTMS_TEST_PGBOUNCER} }

# As a number: 1.18.0 is 1018.
sub version
{
    my ($program) = @_;
    return qx($program --version) =~ /PgBouncer (\d+)\.(\d+)/ ? $1 * 1000 + $2 : 0;
}

sub new
{
    my ($class, $ctms, $name, %settings) = @_;
    my $program = delete $settings{program} // (programs())[0];
    my $server = delete $settings{server}
        // 'host=' . $ctms->node->host . ' port=' . $ctms->node->port;
    my $port = PostgreSQL::Test::Cluster::get_free_port();
    my $base = "$ENV{TESTDIR}/pgbouncer_$name";
    my $node = $ctms->node;
    my @users = split /\n/, $node->safe_psql('postgres',
        "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname !~ '^pg_'");
    # Newer ones keep prepared statements of clients unless they are told not to.
    my %all = (version($program) >= 1021 ? (max_prepared_statements => 0) : (),
        listen_addr => '127.0.0.1', listen_port => $port, unix_socket_dir => '',
        auth_type => 'trust', auth_file => "$base.users", max_client_conn => 200,
        logfile => "$PostgreSQL::Test::Utils::log_path/pgbouncer_$name.log", %settings);
    spew("$base.users", map { qq("$_" ""\n) } @users);
    spew("$base.ini", "[databases]\n", "* = $server\n",
        "[pgbouncer]\n", map { "$_ = $all{$_}\n" } sort keys %all);
    $ctms->start_program("pgbouncer_$name", $program, {}, "$base.ini");
    # Newer ones wait at SIGTERM until their clients are gone.
    $ctms->{process}{"pgbouncer_$name"}{signal} = 'QUIT';
    $ctms->wait_for_port("pgbouncer_$name", $port);
    return bless { ctms => $ctms, name => "pgbouncer_$name", port => $port }, $class;
}

sub spew
{
    my ($file, @lines) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} @lines;
    close $out;
    return;
}

sub url
{
    my ($self, $user) = @_;
    return "postgresql://$user\@127.0.0.1:$self->{port}/ctms";
}

sub stop { my ($self) = @_; return $self->{ctms}->stop_program($self->{name}) }

1;
