package CTMS::Tolerance;

# Bodies as the published schemas ask for them: the schemas have one type for each field, and what
# the server takes beside it is said in words (body_value_tolerance() of the extension). This puts
# the words into practice, so that tests can compare what the server accepts with the schemas.
#
#   my $body = as_asked_for($schema, $given, $document->{components}{schemas});

use strict;
use warnings;
use B ();
use JSON::PP;
use Exporter 'import';

our @EXPORT_OK = qw(as_asked_for is_number);

my %flags = ((map { $_ => JSON::PP::true } qw(t y 1 true yes on)),
    map { $_ => JSON::PP::false } qw(f n 0 false no off));
my $digits = qr/(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}/i;

# Numbers as the parser has read them; an object that counts as one has a method "text".
sub is_number
{
    my ($value) = @_;
    return ref($value) !~ /^(?:HASH|ARRAY|JSON::PP::Boolean)$/ && $value->can('text')
        if ref $value;
    my $flags = defined $value ? B::svref_2object(\$value)->FLAGS : 0;
    return $flags & (B::SVp_IOK | B::SVp_NOK) && !($flags & B::SVp_POK);
}

sub text_of { my ($number) = @_; return '' . (ref $number ? $number->text : $number) }

sub scalar_as_asked_for
{
    my ($schema, $value) = @_;
    my %type = map { $_ => 1 } ref $schema->{type} ? @{ $schema->{type} } : $schema->{type} // '';
    return $value if JSON::PP::is_bool($value);
    my $format = $schema->{format} // '';
    if ($type{boolean})
    {
        return $flags{ lc(is_number($value) ? text_of($value) : $value) } // $value;
    }
    return $value unless $type{string};
    return $format =~ /^(?:uuid|date)$/ ? $value : text_of($value) if is_number($value);
    return join '-', lc($value =~ tr/{}-//dr) =~ /^(.{8})(.{4})(.{4})(.{4})(.{12})$/
        if $format eq 'uuid' && $value =~ /^(?:$digits|\{$digits\})\z/;
    return $value =~ s/^[ \t-\r]+|[ \t-\r]+\z//gr if $format eq 'uri';
    return $value;
}

sub as_asked_for
{
    my ($schema, $value, $schemas) = @_;
    $schema = $schemas->{ $schema->{'$ref'} =~ s{.*/}{}r } while $schema->{'$ref'};
    return $value if !defined $value;
    return as_asked_for($schema->{anyOf}[0], $value, $schemas) if $schema->{anyOf} && ref $value;
    if (ref $value eq 'HASH')
    {
        my $properties = $schema->{properties} // {};
        return { map { $_ => $properties->{$_}
            ? as_asked_for($properties->{$_}, $value->{$_}, $schemas) : $value->{$_} }
            keys %$value };
    }
    if (ref $value eq 'ARRAY')
    {
        return $schema->{items} ? [ map { as_asked_for($schema->{items}, $_, $schemas) } @$value ]
            : $value;
    }
    return scalar_as_asked_for($schema, $value);
}

1;
