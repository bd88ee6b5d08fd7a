# Every operation of the OpenAPI document with every parameter and every property of its body, each
# with values that its schema allows and others, all made from the document: every answer must have
# a status, a content type and a body that the document tells of, and a body is refused exactly when
# its schema forbids it, but for what no schema can tell and what is taken beside it, as
# descriptions say (CTMS::Tolerance).
use strict;
use warnings;
use CTMS::KeyServer;
use CTMS::Test;
use CTMS::Tolerance qw(as_asked_for);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $keys = CTMS::KeyServer->new;
$keys->publish(1000, $keys->make_key('one'));
my $key_server = $keys->start;
my $ctms = CTMS::Test->new('rest_openapi_every');
$ctms->start_rest(CTMS_PUBSUB_AUDIENCE => 'https://ctms.example.com',
    CTMS_PUBSUB_EMAIL => 'p@example.com', CTMS_PUBSUB_CLIENT => 'hush',
    CTMS_PUBSUB_JWKS_URL => $keys->url, CTMS_METRICS_TOKEN => 'a token for metrics',
    CTMS_LOGGING_LEVEL => 'ERROR');
$ctms->login;
my $google = $keys->token({ iss => 'https://accounts.google.com', aud => 'https://ctms.example.com',
        email => 'p@example.com', email_verified => JSON::PP::true, exp => time + 3000 });
# The token of a client without scopes.
my $nothing = do {
    local $ctms->{token};
    $ctms->sql("INSERT INTO ctms.api_client (client_id, email, hashed_secret, scopes)
        SELECT 'id_nothing', email, hashed_secret, '{}' FROM ctms.api_client");
    $ctms->request(POST => '/token',
        "client_id=id_nothing&client_secret=$ctms->{client_secret}",
        { 'Content-Type' => 'application/x-www-form-urlencoded' })->{json}{access_token};
};
my $document = $ctms->request(GET => '/openapi.json')->{json};
my $schemas = $document->{components}{schemas};

# ---- values from schemas -------------------------------------------------------------------------
sub resolved
{
    my ($schema) = @_;
    return $schema->{'$ref'} ? resolved($schemas->{ $schema->{'$ref'} =~ s{.*/}{}r }) : $schema;
}

# Whatever the schema says.
my @odd = (undef, '', 17, -1.5, JSON::PP::true, [1], { a => 1 }, 'x' x 300,
    "\x{1F600}\t", 'DELETE', '2020-02-30');

# What the schema is likely to allow, and the values next to its limits.
sub values_of
{
    my ($schema) = @_;
    $schema = resolved($schema);
    return $schema->{const} if exists $schema->{const};
    return @{ $schema->{enum} }, 'none of them' if $schema->{enum};
    return map { values_of($_) } @{ $schema->{anyOf} } if $schema->{anyOf};
    return map { values_of({ %$schema, type => $_ }) } @{ $schema->{type} } if ref $schema->{type};
    my $type = $schema->{type} // 'string';
    return undef if $type eq 'null';
    return JSON::PP::true, JSON::PP::false if $type eq 'boolean';
    return 0, 1, 7, ($schema->{minimum} // 0) - 1, ($schema->{maximum} // 5000),
        ($schema->{maximum} // 5000) + 1 if $type =~ /^(?:integer|number)$/;
    return map { [$_] } values_of($schema->{items} // {}) if $type eq 'array';
    return { map { $_ => (values_of($schema->{properties}{$_}))[0] }
        sort keys %{ $schema->{properties} // {} } } if $type eq 'object';
    return ('332de237-cab7-4461-bcc3-48e68f42bd5c', '332DE237CAB74461BCC348E68F42BD5C',
        '332de237-cab7-4461-bcc3', '332de237-cab7-1461-bcc3-48e68f42bd5c')
        if ($schema->{format} // '') eq 'uuid';
    return ('2020-01-01', '2020-01-01T00:00:00Z', '2020-01-01T00:00:00.5+02:00', '0001-01-01',
        '9999-12-31', '2020-13-01') if ($schema->{format} // '') =~ /^date/;
    return ('https://www.example.com/a?b#c', 'https://', '/a', 'HTTP://example.com:80')
        if ($schema->{format} // '') eq 'uri';
    return ('fr', 'yes', ('y' x ($schema->{minLength} // 1)), $schema->{maxLength}
        ? ('y' x $schema->{maxLength}, 'y' x ($schema->{maxLength} + 1)) : ());
}

# ---- asking --------------------------------------------------------------------------------------
my $http = HTTP::Tiny->new(keep_alive => 0, timeout => 30, max_redirect => 0);
my (@answers, @undocumented, %asked, @bodies);
sub encode
{
    my ($text) = @_;
    utf8::encode($text);
    return $text =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger;
}

sub ask
{
    my ($method, $path, $target, %options) = @_;
    my $operation = $document->{paths}{$path}{ $method eq 'head' ? 'get' : $method };
    my %headers = (Authorization => 'Bearer ' . ($path =~ /pubsub/ ? $google
            : $path eq '/metrics' ? 'a token for metrics' : $ctms->{token}),
        %{ $options{headers} // {} });
    delete $headers{Authorization} if $options{anonymous};
    $headers{'Content-Type'} //= 'application/json' if defined $options{body};
    my $r = $http->request(uc $method, "http://127.0.0.1:$ctms->{rest_port}$target",
        { headers => \%headers, defined $options{body} ? (content => $options{body}) : () });
    my $what = uc($method) . " $target"
        . (defined $options{body} ? ' ' . substr $options{body}, 0, 300 : '') . ": $r->{status}";
    $what =~ s/[^ -~]/?/g;
    $asked{"$method $path"}{ $r->{status} }++;
    my $told = $operation->{responses}{ $r->{status} };
    if (!$told) { push @undocumented, $what; return $r }
    my $type = $r->{headers}{'content-type'} // '';
    my $content = $told->{content} // {};
    if ($method ne 'head' && (length $type ? !$content->{$type} : %$content))
    {
        push @undocumented, "$what with the type '$type'";
    }
    push @undocumented, "$what without $_"
        for grep { !defined $r->{headers}{ lc $_ } } sort keys %{ $told->{headers} // {} };
    push @undocumented, "$what: a HEAD with a body" if $method eq 'head' && length $r->{content};
    push @answers, [ $what, $content->{$type}{schema}, $r->{content} ]
        if $method ne 'head' && $type eq 'application/json';
    return $r;
}

# The target of an operation, its parameters set to these values or to good ones.
my %good = (email_id => '332de237-cab7-4461-bcc3-48e68f42bd5c',
    primary_email => 'known@example.com', start => '2020-01-01', name => 'vpn', file => 'start.js',
    pubsub_client => 'hush');
sub target
{
    my ($path, $operation, %given) = @_;
    my @query;
    for my $parameter (@{ $operation->{parameters} // [] })
    {
        my $name = $parameter->{name};
        my $value = exists $given{$name} ? $given{$name} : $parameter->{required}
            ? encode($good{$name} // die "no value for $name") : next;
        if ($parameter->{in} eq 'path') { $path =~ s/\{\Q$name\E\}/$value/ }
        elsif (defined $value) { push @query, "$name=$value" }
    }
    return join '?', $path, @query ? join '&', @query : ();
}

# ---- bodies --------------------------------------------------------------------------------------
my $number = 0;
sub contact_base
{
    $number++;
    return { email => { primary_email => "n$number\@example.com" } };
}
my %base = (
    new_contact => \&contact_base, changed_contact => sub { return {} },
    stripe_object => sub { return { object => 'customer', id => 'cus_' . ++$number,
        created => 1600000000, description => "fxa_$number" } },
    pubsub_message => sub {
        my $object = { object => 'customer', id => 'cus_' . ++$number,
            created => 1600000000, description => "fxa_$number" };
        return { message => { data => encode_base64($json->encode($object), '') } };
    });

# The places of a body, as paths of keys; the places within a list are those of its first item.
sub places
{
    my ($schema, @path) = @_;
    $schema = resolved($schema);
    my @found = @path ? [ $schema, @path ] : ();
    push @found, places($_, @path) for grep {
        my $r = resolved($_);
        $r->{properties} || $r->{items};
    } @{ $schema->{anyOf} // [] };
    push @found, places($schema->{properties}{$_}, @path, $_)
        for sort keys %{ $schema->{properties} // {} };
    push @found, places($schema->{items}, @path, 0) if $schema->{items};
    return @found;
}

# Puts a value at a place of a body, with what must be around it.
sub put_at
{
    my ($body, $value, @path) = @_;
    my $at = \$body;
    for my $i (0 .. $#path)
    {
        if ($path[$i] eq '0') { $$at = [] if ref $$at ne 'ARRAY'; $at = \$$at->[0] }
        else
        {
            $$at = {} if ref $$at ne 'HASH';
            $$at->{name} //= 'place' if $i > 0 && $path[ $i - 1 ] eq '0' && $path[$i] ne 'name';
            $at = \$$at->{ $path[$i] };
        }
    }
    $$at = $value;
    return $body;
}

sub ask_with_bodies
{
    my ($method, $path, $operation, $name) = @_;
    my $has_id = $path =~ /\{email_id\}/;
    my $try = sub {
        my ($text, $is_json) = @_;
        my $r = ask($method, $path, target($path, $operation, $has_id && $method eq 'put'
                ? (email_id => sprintf('%08x-0000-4000-8000-000000000000', $number)) : ()),
            body => $text);
        return if !$is_json || $name !~ /contact$/;
        my $asked = as_asked_for($schemas->{$name}, $json->decode($text), $schemas);
        push @bodies, [ $name, $json->encode($asked), $r->{status}, join ' ',
            map { join '/', @{ $_->{loc} } } $r->{status} == 422
            ? @{ (eval { $json->decode($r->{content}) } // {})->{detail} // [] } : () ];
    };
    for my $place (places({ '$ref' => "#/components/schemas/$name" }))
    {
        my ($schema, @path) = @$place;
        my %seen;
        # A body of PUT is read like one of POST.
        $try->($_, 1) for grep { !$seen{ s/n\d+\@|(?:cus|fxa)_\d+//gr }++ }
            map { $json->encode(put_at($base{$name}->(), $_, @path)) } values_of($schema),
            $method eq 'put' ? () : @odd;
    }
    $try->($json->encode($_), 1) for @odd;
    my $whole = $json->encode($base{$name}->());
    $try->($_, 0) for '', ' ', '{', '[', $whole . '}', '{"a":1,}', "{\"a\":\"\0\"}",
        '{"a":"\ud800"}', "\xff", "\xef\xbb\xbf$whole", 'NaN', '[' x 5000, '{"a":' x 300 . '1'
        . '}' x 300, '"' . 'x' x 1_100_000 . '"';
    return;
}

# So that no list in an answer is empty.
my $everything = { email => { primary_email => $good{primary_email} },
    newsletters => [ { name => 'hubs' } ], waitlists => [ { name => 'vpn' } ],
    fxa => { fxa_id => 'fxa_known' }, amo => { user_id => '1' }, mofo => { mofo_relevant => \1 } };

# ---- everything ----------------------------------------------------------------------------------
for my $path (sort keys %{ $document->{paths} })
{
    for my $method (sort keys %{ $document->{paths}{$path} })
    {
        my $operation = $document->{paths}{$path}{$method};
        $ctms->request(PUT => "/ctms/$good{email_id}", $everything);
        my ($content) = values %{ $operation->{requestBody}{content} // {} };
        my $name = $content ? $content->{schema}{'$ref'} =~ s{.*/}{}r : '';
        my $form = $operation->{requestBody}{content}{'application/x-www-form-urlencoded'};
        my $body = $base{$name} ? $json->encode($base{$name}->()) : undef;
        my @body = defined $body ? (body => $body) : ();

        ask($method, $path, target($path, $operation), @body) for 1 .. 2;
        ask($method, $path, target($path, $operation), @body, anonymous => 1);
        ask($method, $path, target($path, $operation), @body,
            headers => { Authorization => "Bearer $nothing" });
        ask($method, $path, target($path, $operation), @body, headers => { Authorization => $_ })
            for 'Bearer x', 'Basic eDp5', 'Bearer a.b.c';
        ask('head', $path, target($path, $operation)) if $method eq 'get';
        for my $parameter (@{ $operation->{parameters} // [] })
        {
            my @values = map { encode(ref $_ ? $json->encode($_) : $_ // '') }
                values_of($parameter->{schema}), @odd;
            push @values, '%', '%zz', '%00', '%FF', '%ED%A0%80', 'x' x 5000, '%2e%2e%2f';
            push @values, undef, "x&$parameter->{name}=" if $parameter->{in} eq 'query';
            my %seen;
            for my $value (grep { !$seen{ $_ // 'none' }++ } @values)
            {
                next if $parameter->{in} eq 'path' && !length $value;
                $ctms->request(PUT => "/ctms/$good{email_id}", $everything) if $method eq 'delete';
                ask($method, $path, target($path, $operation, $parameter->{name} => $value), @body);
            }
        }
        ask_with_bodies($method, $path, $operation, $name) if $base{$name};
        next if !$form;
        for my $property (sort keys %{ resolved($form->{schema})->{properties} })
        {
            for my $value (map { ref $_ ? $json->encode($_) : $_ // '' }
                values_of(resolved($form->{schema})->{properties}{$property}), @odd)
            {
                my %form = (grant_type => 'client_credentials', client_id => $ctms->{client_id},
                    client_secret => 'x', $property => $value);
                ask($method, $path, $path,
                    body => join('&', map { "$_=" . encode($form{$_}) } sort keys %form),
                    headers => { 'Content-Type' => 'application/x-www-form-urlencoded' });
            }
        }
        ask($method, $path, $path,
            body => "client_id=$ctms->{client_id}&client_secret=$ctms->{client_secret}",
            headers => { 'Content-Type' => 'application/x-www-form-urlencoded' });
    }
}
kill TERM => $key_server;
waitpid $key_server, 0;
splice @undocumented, 20 if @undocumented > 20;
is_deeply(\@undocumented, [], 'every status, type and header is documented');
my @operations = map {
    my $path = $_;
    map { "$_ $path" } sort keys %{ $document->{paths}{$path} };
} sort keys %{ $document->{paths} };
is_deeply([ grep { !$asked{$_} } @operations ], [], scalar(@operations) . ' operations');
my ($requests, @never) = (0);
for my $operation (@operations)
{
    my ($method, $path) = split ' ', $operation;
    $requests += $_ for values %{ $asked{$operation} };
    # Those need a database that is away, a clash in time, a client that was disabled.
    push @never, "$operation $_"
        for grep { !$asked{$operation}{$_} && !/^(?:400|409|413|500|503)$/ }
        sort keys %{ $document->{paths}{$path}{$method}{responses} };
}
is_deeply(\@never, [], "$requests requests, every status that can be had was had");

# ---- what the answers are ------------------------------------------------------------------------
sub quoted { my ($value) = @_; $value =~ s/'/''/g; return "'$value'" }
$ctms->sql('CREATE TABLE document (content jsonb); INSERT INTO document VALUES ('
    . quoted($json->encode($document)) . ')');
sub in_pieces
{
    my ($make, $query, @rows) = @_;
    my $all = '';
    while (my @piece = splice @rows, 0, 400)
    {
        my $values = join ",\n", map { $make->($_) } @piece;
        $all .= $ctms->sql($query =~ s/VALUES_HERE/$values/r) . "\n";
    }
    return $all =~ s/\n+\z//r =~ s/\A\n+//r;
}
is(in_pieces(sub { '(' . join(', ', quoted($_[0][0]), quoted($json->encode($_[0][1])),
        quoted($_[0][2])) . ')' }, q(
    SELECT name, e.*, left(body, 300)
        FROM document, (VALUES VALUES_HERE) AS answers (name, schema, body),
        LATERAL ctms.json_schema_errors(schema::jsonb
            || jsonb_build_object('components', content -> 'components'), body::jsonb) AS e
    LIMIT 5), @answers), '', scalar(@answers) . ' bodies are what the document says');

# ---- what is refused -----------------------------------------------------------------------------
# A format may be more than the server asks for (of a UUID it takes other forms too), or be all that
# tells.
my $i = 0;
my %allowed = map {
    my ($n, @both) = split /\|/;
    ($n => \@both);
} split /\n+/,
    in_pieces(sub { '(' . join(', ', $i++, quoted($_[0][0]), quoted($_[0][1])) . ')' }, q(
    SELECT i, ctms.json_schema_is_valid(schema, body::jsonb, '{"assertFormats": false}'),
        ctms.json_schema_is_valid(schema, body::jsonb, '{"assertFormats": true}')
    FROM document, (VALUES VALUES_HERE) AS bodies (i, name, body),
        LATERAL (SELECT jsonb_build_object('$ref', '#/components/schemas/' || name, 'components',
        content -> 'components')) AS s (schema)), @bodies);
my (@stricter, @laxer);
for my $i (0 .. $#bodies)
{
    my ($name, $text, $status, $places) = @{ $bodies[$i] };
    push @stricter, "$name $text: $status" if $allowed{$i}[0] eq 'f' && $status != 422;
    # Some rules cannot be told by a schema: the fields of waitlists, the version of an id, that two
    # ids agree, that a URL has a host.
    push @laxer, "$name $text: $places" if $allowed{$i}[1] eq 't' && $status == 422 && $places
        !~ m{/fields|email_id|waitlist/|/source$};
}
is_deeply([ splice @stricter, 0, 10 ], [], scalar(@bodies)
    . ' bodies: what the document forbids is refused');
is_deeply([ splice @laxer, 0, 10 ], [], 'and nothing else');
$ctms->stop_program('rest');
done_testing();
