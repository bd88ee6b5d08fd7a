# The instructions of the guides work: each block of SQL and each ctms command runs, in order, on a
# database of the guide's own. And links lead to files.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use Test::More;

my $top = $ENV{CTMS_TEST_TOP};

for my $guide (qw(operations scaling waitlist-onboarding))
{
    my $ctms = CTMS::Test->new($guide =~ s/-/_/gr);
    $ctms->sql(q{SELECT ctms.create_contact('{"email": {"primary_email": "one@example.com"},
        "newsletters": [{"name": "hubs"}]}')});
    my $text = slurp("$top/docs/$guide.md");
    my $count = 0;
    while ($text =~ /^( *)```(sh|sql)\n(.*?)^ *```$/msg)
    {
        my ($indent, $language, $block) = ($1, $2, $3);
        $block =~ s/^$indent//mg;
        for my $command ($language eq 'sql' ? $block : split /\n/, $block)
        {
            $count++;
            if ($language eq 'sql')
            {
                my ($rc, $out, $err) = $ctms->node->psql('ctms', $command, on_error_stop => 1);
                is("$rc$err", '0', substr($command, 0, 70) =~ s/\s+/ /gr);
                next;
            }
            # The shell splits the words, so that quotes mean what they mean to a reader.
            my $script = "cd '$ENV{TESTDIR}'; PATH='$ENV{CTMS_TEST_BIN}':\$PATH; "
                . "CTMS_DB_URL='" . $ctms->db_url . "'; export CTMS_DB_URL; $command";
            my ($out, $err) = ('', '');
            IPC::Run::run([ 'bash', '-c', $script ], '<', \'', '>', \$out, '2>', \$err);
            # A dry run that finds rows in the way says so with its status.
            my $expected = $command =~ /--dry-run.*"required": \["geo", "device"\]/ ? qr/^[01]$/
                : qr/^0$/;
            like($? >> 8, $expected, substr($command, 0, 70)) or diag "$out$err";
        }
    }
    ok($count > 5, "$guide: $count commands");
}

# ---- links ------------------------------------------------------------------------------------

my @broken;
for my $file (glob "$top/*.md $top/docs/*.md $top/docs/decisions/*.md")
{
    my ($folder) = $file =~ m{(.*)/};
    my $text = slurp($file) =~ s/^```.*?^```$//msgr =~ s/`[^`]*`//gr;
    while ($text =~ /\]\(([^)#\s]+)[^)]*\)/g)
    {
        push @broken, "$file: $1" unless $1 =~ /^https?:/ || -e "$folder/$1";
    }
}
is(join("\n", @broken), '', 'links lead to files');
my $readme = slurp("$top/README.md");
is(join(' ', grep { $readme !~ /\(docs\/\Q$_\E\)/ } map { m{([^/]+)$} } grep { !/\.$/ }
        glob("$top/docs/*.md")), '', 'README.md names every document');

done_testing();
