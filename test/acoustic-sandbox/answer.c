/*
 * answer.c: bodies in the form of the XML API; see answer.h.
 */
#include "test/acoustic-sandbox/answer.h"

#include <stdio.h>
#include <string.h>

void
answer_add_escaped(struct evbuffer *body, const char *text)
{
    for (;;) {
        size_t plain = strcspn(text, "<>&\"");

        evbuffer_add(body, text, plain);
        text += plain;
        switch (*text++) {
        case '\0': return;
        case '<': evbuffer_add_printf(body, "&lt;"); break;
        case '>': evbuffer_add_printf(body, "&gt;"); break;
        case '&': evbuffer_add_printf(body, "&amp;"); break;
        default: evbuffer_add_printf(body, "&quot;"); break;
        }
    }
}

void
answer_success(struct answer *answer, const char *inside)
{
    evbuffer_add_printf(answer->body,
                        "<Envelope><Body><RESULT><SUCCESS>TRUE</SUCCESS>%s</RESULT></Body>"
                        "</Envelope>\n",
                        inside);
}

void
answer_fault(struct answer *answer, const char *errorid, const char *class, const char *text)
{
    snprintf(answer->refusal, sizeof(answer->refusal), "%s", text);
    evbuffer_add_printf(answer->body,
                        "<Envelope><Body><RESULT><SUCCESS>false</SUCCESS></RESULT><Fault><Request/>"
                        "<FaultCode/><FaultString><![CDATA[%s]]></FaultString><detail><error>"
                        "<errorid>%s</errorid><module/><class>%s</class><method/></error></detail>"
                        "</Fault></Body></Envelope>\n",
                        text, errorid, class);
}
