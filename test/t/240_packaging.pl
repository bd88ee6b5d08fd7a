# The files around the programs are correct: libraries, licences, the bill of materials, PGXN's
# META.json, manual pages, completion, systemd units. The packages: scripts/check-packages.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

chdir $ENV{CTMS_TEST_TOP} or die "chdir: $!";
my $bin = $ENV{CTMS_TEST_BIN};
my $folder = PostgreSQL::Test::Utils::tempdir();
my ($version) = slurp('common/version.h') =~ /CTMS_VERSION "(.*)"/;
sub can_run { my ($program) = @_; return scalar grep { -x "$_/$program" } split /:/, $ENV{PATH} }
sub output
{
    my ($out, $err) = ('', '');
    IPC::Run::run([@_], '<', \'', '>', \$out, '2>', \$err);
    return "$out$err";
}

SKIP:
{
    skip 'the programs are built elsewhere', 1
        unless -e 'build/bin/ctms-rest' && can_run('readelf');
    command_ok(['scripts/check-dependencies'], 'docs/dependencies.md names what is linked');
}

# ---- PGXN ----------------------------------------------------------------------------------

# The rules of its specification that are not plain to see, as its own validator has them.
my $meta = JSON::PP->new->utf8->decode(slurp('packaging/META.json'));
ok(length($meta->{$_} // ''), "META.json has $_")
    for qw(name version abstract maintainer license provides meta-spec);
my %is_known = map { $_ => 1 } qw(name version abstract description maintainer license provides),
    qw(release_status prereqs resources generated_by meta-spec tags no_index);
is(join(' ', grep { !$is_known{$_} && !/^x_/i } sort keys %$meta), '', 'and nothing unknown');
my $number = qr/(?:0|[1-9]\d*)/;
my $semantic = qr/^$number\.$number\.$number\z/;
like($meta->{version}, $semantic, 'a semantic version');
like($meta->{name}, qr/^[^\s\/\\\x00-\x1f\x7f]{2,}\z/, 'name');
is($meta->{'meta-spec'}{version}, '1.0.0', 'version of the specification');
like($meta->{release_status}, qr/^(?:stable|testing|unstable)$/, 'release status');
my $provided = $meta->{provides}{ctms};
is($provided->{version}, $meta->{version}, 'what is provided has its version');
ok(-e $provided->{$_}, "$_ $provided->{$_} is there") for qw(file docfile);
like($_, qr{^https://\S+\z}, 'the licence has an address') for values %{ $meta->{license} };
ok(!grep({ !length || length > 255 || m{[/\\\x00-\x1f]} } @{ $meta->{tags} }), 'tags are short');
for my $phase (sort keys %{ $meta->{prereqs} })
{
    like($phase, qr/^(?:configure|build|test|runtime|develop)\z/, "a phase: $phase");
    my %needs = %{ $meta->{prereqs}{$phase}{requires} };
    is_deeply([ keys %{ $meta->{prereqs}{$phase} } ], ['requires'], 'has what it requires');
    ok(!grep({ $_ ne '0' && !/$semantic/ } values %needs), 'by semantic versions');
    is($needs{PostgreSQL}, '15.0.0', 'of PostgreSQL what compat.h asks for');
}
like(slurp('extension/base/compat.h'), qr/PG_VERSION_NUM < 150000/, 'which is 15');

# ---- bill of materials, licences -----------------------------------------------------------

SKIP:
{
    skip 'there is no dpkg', 6 unless can_run('dpkg-query');
    my $sbom = JSON::PP->new->utf8->decode(output('scripts/make-sbom', $version));
    my %package = map { $_->{SPDXID} => $_ } @{ $sbom->{packages} };
    is(keys %package, @{ $sbom->{packages} }, 'each package has an id of its own');
    my $expression = qr/^\(?[\w.+-]+(?: (?:OR|AND) [\w.+-]+)*\)?\z/;
    is(join(' ', grep { $package{$_}{licenseDeclared} !~ $expression } sort keys %package), '',
        'each has a licence, as an expression');
    my %is_end = map { $_->{relatedSpdxElement} => 1, $_->{spdxElementId} => 1 }
        @{ $sbom->{relationships} };
    delete $is_end{'SPDXRef-DOCUMENT'};
    is_deeply([ sort keys %is_end ], [ sort keys %package ], 'each is related to another');
    my @documented = slurp('docs/dependencies.md') =~ /^\| `lib/mg;
    is(scalar grep({ /^SPDXRef-deb-/ } keys %package), @documented, 'all that is linked is there');
    is($package{'SPDXRef-program-ctms.so'}{versionInfo}, $version, 'ours have their version');
    my ($lock) = slurp('rest/swagger-ui/package.json') =~ /"swagger-ui-dist": "([\d.]+)"/;
    is($package{'SPDXRef-npm-swagger-ui-dist'}{versionInfo}, $lock, 'so has what is contained');
}
my $copyright = slurp('packaging/debian/copyright');
my %is_licence = map { $_ => 1 } $copyright =~ /^License: (\S+)\n /mg;
my @licences = map { split / (?:and|or) / } $copyright =~ /^License: (.*)\n(?! )/mg;
is(join(' ', grep { !$is_licence{$_} } @licences), '', 'each licence of the package is explained');
is_deeply([ grep { !/\*/ && !-e } $copyright =~ /^Files: (.*)$/mg ], [], 'files of others exist');
ok(!grep({ length && !/^(?: +\S|\S+:)/ } split /\n/, $copyright), 'copyright is machine-readable');

# ---- manual pages -----------------------------------------------------------------------------

for ([ 'ctms', 1 ], [ 'ctms-rest', 8 ], [ 'ctms-agent', 8 ])
{
    my ($program, $section) = @$_;
    my $page = "$folder/$program.$section";
    is(system("scripts/generate-manual $bin/$program $section $version >$page"), 0,
        "manual page of $program");
    my $text = slurp($page);
    my $help = output("$bin/$program", '--help');
    my @settings = $help =~ /^  ([A-Z][A-Z0-9_]+)(?: or [A-Z]+)?  \(/mg;
    is(join(' ', grep { $text !~ /^\.B \Q$_\E/m } @settings), '', 'has all '
        . @settings . ' settings');
    ok($text =~ /^\.SH $_/m, "has $_") for qw(NAME SYNOPSIS DESCRIPTION OPTIONS ENVIRONMENT);
    next unless can_run('groff');
    is(output('groff', '-man', '-ww', '-z', '-Kutf8', '-Tutf8', $page), '',
        'groff finds nothing wrong');
}
my @commands = output("$bin/ctms", '--help') =~ /^  ([a-z][a-z-]*(?: [a-z][a-z-]*)*) .*$/mg;
my $page = slurp("$folder/ctms.1") =~ s/\\-/-/gr;
is(join(', ', grep { $page !~ /^\.SS ctms \Q$_\E/m } @commands), '',
    'every command is in the manual page');

# ---- completion ---------------------------------------------------------------------------------

# The completions of bash after some words.
sub completions
{
    my @words = ('ctms', @_);
    my $script = "PATH=$bin:\$PATH; source packaging/completion/ctms.bash; COMP_WORDS=("
        . join(' ', map { "'$_'" } @words) . "); COMP_CWORD=$#words; _ctms; "
        . "printf '%s\\n' \"\${COMPREPLY[\@]}\" | sort -u | tr '\\n' ' '";
    return output('bash', '--norc', '-c', $script) =~ s/ $//r;
}
like(completions(''), qr/\bacoustic\b.*\bclients\b.*\bstripe\b.*\bwaitlists\b/,
    'groups of commands');
is(completions('wait'), 'waitlists', 'a group');
like(completions('acoustic', ''), qr/\bcancel\b.*\bresync\b.*\bretry\b/, 'verbs of the queue');
like(completions('acoustic', '--newsletter', 'hubs', 'resync', '--l'), qr/--live/,
    'options behind an option with a value');
is(completions('waitlists', ''), 'add list remove rows show', 'verbs');
is(completions('acoustic', 'fields', 'a'), 'add', 'a second verb');
is(completions('help', 'acoustic', 'fields', 'a'), 'add', 'a command after help');
is(completions('--config', 'some-file', 'waitlists', 'sh'), 'show',
    'a verb after an option with a value');
like(completions('waitlists', 'add', '--'),
    qr/--dry-run.*--json.*--new-rows-only/, 'options of a command');

# The same in zsh, typed at a terminal: what it offers, and what becomes of the line.
SKIP:
{
    skip 'there is no zsh', 11 unless can_run('zsh');
    my ($in, $screen, $answers) = ('', '', "$folder/zsh-answers");
    append_to_file("$folder/.zshrc", <<~"ZSH");
        unset HISTFILE; setopt no_beep; unsetopt prompt_sp
        PATH=$bin:\$PATH; fpath=($ENV{CTMS_TEST_TOP}/packaging/completion \$fpath)
        autoload -Uz compinit; compinit -u -D
        # What is offered stands after "--".
        compadd() {
            print -r -- "offers \${(j: :)\${(ou)@[(r)--,-1]:#--}}" >>$answers
            builtin compadd "\$@"
        }
        show() { print -r -- "line \$BUFFER." >>$answers; BUFFER= }
        zle -N show; bindkey '^Xs' show
        PS1='ready> '
        ZSH
    append_to_file("$folder/some-file.json", '{}');
    local $ENV{ZDOTDIR} = $folder;
    local $ENV{TERM} = 'dumb';
    my $zsh = IPC::Run::start([ 'zsh', '-d', '-i' ], '<pty<', \$in, '>pty>',
        \$screen, IPC::Run::timeout(60));
    my $typed = sub {
        my ($line) = @_;
        unlink $answers;
        $in .= "$line\t\cXs";
        IPC::Run::pump($zsh) until -e $answers && slurp($answers) =~ /^line /m;
        return slurp($answers);
    };
    IPC::Run::pump($zsh) until $screen =~ /ready> /;
    my $groups = 'acoustic clients delete doctor healthcheck help import settings stripe waitlists';
    like($typed->('ctms '), qr/^offers $groups$/m, 'zsh: groups of commands');
    like($typed->('ctms wait'), qr/^line ctms waitlists \.$/m, 'a group');
    like($typed->('ctms waitlists '), qr/^offers add list remove rows show$/m, 'verbs');
    like($typed->('ctms acoustic fields a'),
        qr/^line ctms acoustic fields add \.$/m, 'a second verb');
    like($typed->('ctms help acoustic fields a'),
        qr/^line ctms help acoustic fields add \.$/m, 'a command after help');
    like($typed->('ctms waitlists add --'),
        qr/^offers .*--dry-run.*--json.*--new-rows-only/m, 'options of a command');
    like($typed->('ctms waitlists add --ne'),
        qr/^line ctms waitlists add --new-rows-only \.$/m, 'an option');
    like($typed->("ctms stripe ingest $folder/some"),
        qr/^line ctms stripe ingest \Q$folder\E\/some-file\.json \.$/m, 'a file');
    like($typed->("ctms --config $folder/some"),
        qr/^line ctms --config \Q$folder\E\/some-file\.json \.$/m, 'a file after its option');
    like($typed->("ctms --config $folder/some-file.json waitlists sh"),
        qr/^line .* waitlists show \.$/m, 'a verb after such a file');
    like($typed->('ctms healthcheck --conf'), qr/^line ctms healthcheck --config \.$/m,
        'an option of every command');
    $in .= "exit\n";
    IPC::Run::finish($zsh);
}

# ---- units and users ---------------------------------------------------------------------------

# Programs that every Debian has, because nothing can be installed without them.
sub is_essential
{
    my ($program) = @_;
    # In newer Debians /bin is a link, and files of packages are where they really are.
    my ($package) = output('dpkg-query', '-S', $program, "/usr$program")
        =~ m{^([^:\s]+)(?::\w+)?: /}m or return 0;
    return output('dpkg-query', '-W', '-f', '${Essential}', $package) eq 'yes';
}

my %group_role = ('ctms-rest' => 'ctms_api', 'ctms-agent' => 'ctms_agent');
my $postinst = slurp('packaging/debian/ctms.postinst');
my $postrm = slurp('packaging/debian/ctms.postrm');
# Headers of a minor release may call what older servers do not have.
like(slurp('packaging/debian/postgresql-ctms.control'),
    qr/^Depends: .*\bpostgresql-\@MAJOR\@ \(>= \@POSTGRESQL\@~?\)/m,
    'the extension wants the minor release that it was built with, or a newer one');
for my $name (sort keys %group_role)
{
    my $unit = slurp("packaging/systemd/$name.service");
    my ($file) = $unit =~ m{^ExecStart=/usr/bin/$name --config /etc/ctms/(\w+\.env)$}m;
    ok($file, "$name.service starts $name");
    for my $setting ("User=$name", "Group=$name", qw(NoNewPrivileges=yes ProtectSystem=strict
            ProtectHome=yes PrivateTmp=yes CapabilityBoundingSet= MemoryDenyWriteExecute=yes
            KillMode=mixed LimitCORE=0))
    {
        like($unit, qr/^\Q$setting\E$/m, $setting);
    }
    like($unit, qr/^MemoryMax=\d+[MG]$/m, 'a limit of memory');
    like($postinst, qr/^    add_user $name "ctms [^"]+"$/m, 'the package makes its user');
    like($postrm, qr/^    for user in .*\b$name\b.*; do$/m, 'and removes it');
    my $settings = slurp("packaging/debian/$file");
    like($settings, qr/CREATE ROLE "$name" LOGIN IN ROLE $group_role{$name};/,
        'a role of its own');
    unlike($settings, qr/IN ROLE [^;]*,/, 'which is a member of one group');
    SKIP:
    {
        skip 'there is no dpkg', 1 unless can_run('dpkg-query');
        my @programs = grep { $_ ne "/usr/bin/$name" } $unit =~ /^Exec\w+=[-\@:+!]*(\S+)/mg;
        is(join(' ', grep { !is_essential($_) } @programs), '',
            'it runs nothing that a system may lack');
    }
    SKIP:
    {
        skip 'there is no systemd-analyze', 1 unless can_run('systemd-analyze');
        # In tenths: with nothing kept from it the exposure would be 96.
        my $result = system 'systemd-analyze security --offline=true --threshold=15 '
            . "packaging/systemd/$name.service >$folder/security 2>&1";
        is($result, 0, 'little of the system is open to it') or diag slurp("$folder/security");
    }
}
is(join(' ', sort grep { !/^ctms-/ } $postinst =~ /add_user (\w\S*) /g), '', 'no other user');

done_testing();
