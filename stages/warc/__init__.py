"""Reading web archives, in the order the bytes meet it.

storage   the stored file as runs of decompressed bytes; where a broken member is left and the next one found
records   runs cut into WARC records; what a wrong length or a cut record becomes
archive   a whole archive or a piece of it: FastWARC while it is healthy, storage and records where it is not
http      the HTTP response in a record: status, headers, body with its transfer and content codings undone
charset   the body as UTF-8
"""
