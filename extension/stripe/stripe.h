/*
 * stripe/stripe.h: shared by the files that store Stripe objects; see docs/stripe.md.
 *
 *   stripe/map.c     which key of which object goes to which column
 *   stripe/value.c   single values of an object, checked
 *   stripe/unwrap.c  the objects in lists and events
 *   stripe/parse.c   a jsonb object becomes records, or a problem; touches no table
 *   stripe/batch.c   the records of a batch and what they refer to
 *   stripe/apart.c   how many objects of a list have nothing to do with each other
 *   stripe/rows.c    reads and writes one row, with kept plans
 *   stripe/store.c   stores the records of a batch in the one lock order
 *   stripe/customer.c  customers, of which only one may have an FxA ID
 *   stripe/report.c  what was done, as jsonb
 *   stripe/upsert.c  the SQL functions
 *   stripe/payload.c objects in bytes that somebody sent, before all that
 *
 * Everything lives in the memory context of the call.
 */
#ifndef CTMS_STRIPE_H
#define CTMS_STRIPE_H

#include "extension/base/compat.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/hsearch.h"

/* In the order in which rows are locked and written: a parent before its children. */
typedef enum StripeKind {
    STRIPE_CUSTOMER,
    STRIPE_PRICE,
    STRIPE_SUBSCRIPTION,
    STRIPE_INVOICE,
    STRIPE_SUBSCRIPTION_ITEM,
    STRIPE_LINE_ITEM,
    STRIPE_KINDS
} StripeKind;

#define STRIPE_NO_KIND STRIPE_KINDS

typedef enum StripeFieldType {
    STRIPE_TEXT,
    STRIPE_WORD,      /* text, with the words of stripe_words replaced */
    STRIPE_REFERENCE, /* an id, or the object that has it */
    STRIPE_TIME,      /* Unix seconds */
    STRIPE_BOOLEAN,
    STRIPE_INTEGER,
    STRIPE_BIGINT
} StripeFieldType;

#define STRIPE_REQUIRED 1
#define STRIPE_UNSEEN 2 /* no row of a contact shows it, so a change of it concerns no contact */

#define STRIPE_MAX_PATHS 3

typedef struct StripeField {
    const char *column;
    /*
     * Where versions of Stripe's API have it: the first that is neither absent nor null counts.
     * Keys with dots between them; none: the id of the enclosing object.
     */
    const char *paths[STRIPE_MAX_PATHS];
    StripeFieldType type;
    int max_length; /* characters, for text */
    int flags;
} StripeField;

/* The first field of every object is its owner, which leads on to the contact. */
#define STRIPE_OWNER 0
#define STRIPE_DELETED_FLAG 1 /* of kinds that are deletable */
#define STRIPE_SUBSCRIPTION_PERIOD_START 6
#define STRIPE_SUBSCRIPTION_PERIOD_END 7
#define STRIPE_ITEM_PRICE 2 /* of a subscription item */
#define STRIPE_LINE_PRICE 2
#define STRIPE_MAX_FIELDS 11

typedef struct StripeMap {
    const char *object;       /* Stripe's name for it */
    const char *older_object; /* the name of an older form of it, or NULL */
    const char *table;
    const StripeField *fields;
    const char *parent_path; /* of an object that comes alone; NULL when it never does */
    const char *list_path;   /* the list of an object's children, or NULL */
    int field_count;
    StripeKind parent; /* the kind that lists objects of this kind, or STRIPE_NO_KIND */
    StripeKind child;  /* the kind of the listed objects, or STRIPE_NO_KIND */
    bool is_deletable; /* Stripe may say that it has deleted the object; the row is marked then */
    int price_field;   /* the field that may hold a whole price, or -1 */
    const char *preview_id;     /* begins the ids of what will never be stored, or NULL */
    const char *unique_id_path; /* where a better id may be, or NULL */
    const char *const *old_ids; /* begin ids that are not unique without the parent's, or NULL */
} StripeMap;

extern const StripeMap stripe_maps[]; /* by StripeKind */

/* A word of newer versions of Stripe's API, and the older one that is stored in its place. */
typedef struct StripeWord {
    const char *word;
    const char *stored;
} StripeWord;

extern const StripeWord stripe_words[]; /* ends with a NULL word */

/* The kind for Stripe's name of it, or of an older form of it; or STRIPE_NO_KIND. */
extern StripeKind stripe_kind_of(const char *object);

/* What to do with a record. */
typedef enum StripePurpose {
    STRIPE_STORE,
    STRIPE_MARK_DELETED, /* what Stripe has deleted: an id and little else */
    STRIPE_LOCK,         /* the parent of an item that came alone */
    STRIPE_REMOVE        /* an item or line that is no longer listed */
} StripePurpose;

/* What was done; also the order of the lists in the report. */
typedef enum StripeAction {
    STRIPE_CREATED,
    STRIPE_UPDATED,
    STRIPE_NO_CHANGE,
    STRIPE_DELETED,
    STRIPE_SKIPPED,
    STRIPE_ACTIONS
} StripeAction;

/* Why something was skipped; also the order of the lists in the report. */
typedef enum StripeSkip {
    STRIPE_SKIP_UNUSED_TYPE,
    STRIPE_SKIP_PREVIEW,  /* of an invoice that Stripe may make some day */
    STRIPE_SKIP_DELETION, /* of an object that ctms keeps */
    STRIPE_SKIP_OUTDATED,
    STRIPE_SKIP_NOT_STORED, /* the deletion of an object that is not stored */
    STRIPE_SKIPS
} StripeSkip;

/* A row as it is stored. Times that are not known are DT_NOBEGIN. */
typedef struct StripeRow {
    bool is_found;
    bool is_same;      /* all columns equal the record's */
    bool is_seen_same; /* the columns that rows of contacts show equal the record's */
    bool is_deleted;
    char *id;
    char *owner;
    TimestampTz message_time;
    TimestampTz deletion_time;
    TimestampTz list_time;
    TimestampTz create_time;
} StripeRow;

/* What was done, for an object or for all objects of a call. */
typedef struct StripeReport {
    List *names[STRIPE_ACTIONS];  /* "customer:cus_1" */
    List *skipped[STRIPE_SKIPS];  /* the names of what was skipped, by reason */
    List *conflicts;              /* FxA IDs */
    List *affected[STRIPE_KINDS]; /* owners (they lead to contacts), by kind of owned row */
    ArrayType *email_ids;         /* the contacts that were affected, sorted; or NULL */
    List *warnings;               /* of char * */
    bool is_counted;              /* it tells the count */
    int count;                    /* objects that were not skipped */
} StripeReport;

/* A row to be written: for an object, or for one inside it. */
typedef struct StripeRecord {
    StripeKind kind;
    StripePurpose purpose;
    const char *id;
    Datum values[STRIPE_MAX_FIELDS];
    char nulls[STRIPE_MAX_FIELDS]; /* 'n' or ' ', as SPI wants them */
    const char *parent_id;         /* of an item or line; a deleted item does not tell it */
    bool is_list_complete;         /* it lists all its children */
    int sequence;                  /* the place in the message; of equal ids the last one counts */
    /* Filled in while storing. */
    StripeReport *report; /* of its object */
    struct StripeRecord *parent;
    StripeRow row;       /* as last read */
    StripeAction action; /* due or done */
    bool is_touch_due;   /* the content is the same, only the times must be written */
    bool is_family_open; /* a child must be written or removed: lock the parent */
} StripeRecord;

typedef struct StripeProblem {
    int sqlstate;
    char *message;
} StripeProblem;

/* An object that must be stored already or come in the same batch. */
typedef struct StripeNeed {
    StripeKind kind;
    const char *id;
} StripeNeed;

/* Names a row in a hash table. */
typedef struct StripeRowKey {
    int kind; /* StripeKind, or another number for what is named in another way */
    const char *id;
} StripeRowKey;

/* One object of a message. If it has a problem, nothing of it is stored. */
typedef struct StripeObject {
    JsonbContainer *content; /* NULL when it is no object */
    const char *type;        /* NULL when the object does not say what it is */
    const char *id;
    List *records;   /* of StripeRecord, its own first; empty when it is skipped */
    StripeSkip skip; /* why there are no records */
    List *needs;     /* of StripeNeed */
    StripeProblem *problem;
    StripeReport *report;
    const char *path;   /* leads to it from the value that the caller gave; "": it is that value */
    bool has_time;      /* it comes from an event that says when it happened */
    TimestampTz time;   /* DT_NOEND without a time */
    int place;          /* in the message */
    int element;        /* of the array of the call; it is, or has, this object */
    bool is_superseded; /* the same object comes again later in the message */
    bool is_stored;     /* of an object of a list */
} StripeObject;

typedef struct StripeBatch {
    bool has_message_time;
    TimestampTz message_time; /* DT_NOEND without a time: never older than what is stored */
    List *objects;
    StripeRecord **records[STRIPE_KINDS];
    int counts[STRIPE_KINDS];
    List *removals; /* of StripeRecord: children that are no longer listed */
    bool is_list;   /* the rows must be as if the objects had been stored one after the other */
} StripeBatch;

/* What an object comes in. */
typedef enum StripeWrap {
    STRIPE_BARE,
    STRIPE_EVENT,
    STRIPE_DELETION_EVENT /* the object was deleted, although it does not say so itself */
} StripeWrap;

/* Raises no error for anything that the value contains. "sequence" numbers the records. */
extern StripeObject *stripe_parse(JsonbValue *value, StripeWrap wrap, int *sequence);
extern StripeProblem *
stripe_problem(int sqlstate, const char *format, ...) pg_attribute_printf(2, 3);
/*
 * Names an object in a message, which gets into the log of the server: kind "id", without the id
 * unless it looks like one, because a caller may send anything as an id, such as an address.
 */
extern char *stripe_describe(const char *type, const char *id);

/*
 * Rows. SPI must be connected.
 *
 * A customer is searched by its id and by its FxA ID: "other" is a different customer that has
 * this FxA ID. With is_locked the rows are locked, in the order of their ids.
 */
extern void stripe_read(const StripeBatch *batch, const StripeRecord *record, bool is_locked,
                        StripeRow *self, StripeRow *other);
/*
 * False when another session was faster or a unique value is taken. "old" is the row that was
 * deleted to make room for this one, or NULL.
 */
extern bool
stripe_insert(const StripeBatch *batch, const StripeRecord *record, const StripeRow *old);
/* Writes the content, or marks the row as deleted, as the record's purpose is. */
extern void stripe_update(const StripeBatch *batch, const StripeRecord *record);
/* Moves only the times forward; this does not count as a change. */
extern void stripe_touch(const StripeBatch *batch, const StripeRecord *record);
extern bool stripe_delete(StripeKind kind, const char *id, const char *owner);
extern bool stripe_is_stored(StripeKind kind, const char *id);
/* The ids of the stored children of a parent that are not newer than the message. */
extern List *stripe_stored_children(const StripeBatch *batch, const StripeRecord *parent);
/* Sets the contacts of a report. */
extern void stripe_find_contacts(StripeReport *report);

/*
 * Collects the records of a batch, each kind sorted by id. Of several with the same id the last
 * counts; objects of a list that have a price in common bring the same content of it.
 */
extern void stripe_gather_records(StripeBatch *batch);
extern void stripe_add_record(StripeBatch *batch, StripeRecord *record);
extern void stripe_sort_records(StripeBatch *batch, StripeKind kind);
extern StripeRecord *stripe_find_record(const StripeBatch *batch, StripeKind kind, const char *id);
extern int stripe_compare_records(const void *left, const void *right);

/*
 * Notes a problem with each object that refers to something that is neither stored nor in the
 * batch.
 */
extern void stripe_check_needs(const StripeBatch *batch);
/* How many objects of a list, from its beginning, may be stored together, in whatever order. */
extern int stripe_count_apart(const List *objects);
/* An empty hash table; its entries begin with a StripeRowKey. */
extern HTAB *stripe_create_row_table(Size entry_size);
/*
 * Stores the objects that have no problem. False when a list must be stored object by object,
 * because one takes a row over from another; then nothing is written.
 */
extern bool stripe_store(StripeBatch *batch);
/* Decides what to do with a record. Its row must have been read. */
extern void stripe_decide(const StripeBatch *batch, StripeRecord *record);
/* The owner of a record, which leads to its contact. */
extern const char *stripe_owner_of(const StripeRecord *record);
/*
 * Counts the attempts of a loop, and raises an error when other sessions or a trigger keep it
 * from ending.
 */
extern void stripe_count_attempt(int *attempts);

/* Customers. "other" is the row that already has the FxA ID. */
extern void
stripe_decide_customer(const StripeBatch *batch, StripeRecord *record, const StripeRow *other);
extern void stripe_write_customer(const StripeBatch *batch, StripeRecord *record);
/* Orders customers by the FxA ID that they claim or, if they are marked deleted, have. */
extern int stripe_compare_claims(const void *left, const void *right);

extern void
stripe_report_action(StripeReport *report, StripeKind kind, const char *id, StripeAction action);
extern void
stripe_report_skip(StripeReport *report, StripeSkip skip, const char *type, const char *id);
/* What is wrong with an object, after the path to it. */
extern char *stripe_problem_message(const StripeObject *object);
/* The report of a call. The problems of the objects are listed unless "objects" is NIL. */
extern Jsonb *stripe_report(const StripeReport *report, const List *objects);
/* An array with the report of each object; null for those that were not stored. */
extern Jsonb *stripe_report_list(const List *objects);

#endif
