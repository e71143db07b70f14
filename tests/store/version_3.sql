-- The store of an ocpp-bridge at commit 1eaf26e (tables of version 3), as iterdump() of sqlite3 writes it.
PRAGMA application_id = 1329811536;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE alias (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            alias TEXT NOT NULL, transaction_id TEXT NOT NULL,
            UNIQUE (folded, alias)
        );
INSERT INTO "alias" VALUES(1,'rdam 123','RDAM 123','2147483647','1099511627776');
CREATE TABLE answered (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            action TEXT NOT NULL, fingerprint TEXT NOT NULL, answer BLOB NOT NULL, at REAL NOT NULL,
            UNIQUE (folded, action, fingerprint)
        );
INSERT INTO "answered" VALUES(1,'rdam 123','RDAM 123','StartTransaction','["Start",1,"TAG","2026-03-01T12:00:00Z",12]',X'7B227472616E73616374696F6E4964223A372C226964546167496E666F223A7B22737461747573223A224163636570746564227D7D',1790000000.0);
CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            id TEXT NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
            detail TEXT NOT NULL, outcome TEXT NOT NULL,
            UNIQUE (folded, id)
        );
INSERT INTO "audit" VALUES(1,'','RDAM 123','1',1790000000.0,'127.0.0.1','move','main -> other','done');
CREATE TABLE charge_point (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL UNIQUE, identity TEXT NOT NULL,
            last_seen REAL NOT NULL, transport TEXT NOT NULL, version TEXT NOT NULL,
            callback_url TEXT, callback_networks TEXT, boot BLOB, interval TEXT, central_system TEXT
        );
INSERT INTO "charge_point" VALUES(1,'rdam 123','RDAM 123',1790000000.0,'soap','1.6','http://192.0.2.7:8081/ocpp','["192.0.2.7/32"]',X'7B22636861726765506F696E7456656E646F72223A2256222C22636861726765506F696E744D6F64656C223A224D227D','300','other');
INSERT INTO "charge_point" VALUES(2,'rdam 124','RDAM 124',1790000000.0,'json','1.6',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE connector (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            connector TEXT NOT NULL, status TEXT, transaction_id TEXT, at REAL NOT NULL, ended TEXT NOT NULL,
            UNIQUE (folded, connector)
        );
INSERT INTO "connector" VALUES(1,'rdam 123','RDAM 123','1','Charging','2147483647',1790000000.0,'False');
INSERT INTO "connector" VALUES(2,'rdam 123','RDAM 123','2',NULL,NULL,1790000000.0,'True');
CREATE TABLE credential (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            leg TEXT NOT NULL, secrets TEXT NOT NULL, fresh TEXT NOT NULL, replaces TEXT NOT NULL, at REAL NOT NULL,
            UNIQUE (folded, leg)
        );
INSERT INTO "credential" VALUES(1,'rdam 123','RDAM 123','central_system','["c2VjcmV0"]','1','scrypt$x',1790000000.0);
CREATE INDEX answered_of ON answered (folded);
CREATE INDEX answered_at ON answered (at);
CREATE INDEX alias_of ON alias (folded);
CREATE INDEX connector_of ON connector (folded);
CREATE INDEX audit_of ON audit (folded);
COMMIT;
