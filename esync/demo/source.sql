-- The source of the demo: customers and invoices, each a key, fields and a version.
-- Every changed customer adds a task to the queue, in the transaction that changes it.
CREATE SEQUENCE {schema}.version_seq;

CREATE TABLE {schema}.customer (
    key text COLLATE "C" NOT NULL,
    fields jsonb NOT NULL,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT customer_pkey PRIMARY KEY (key)
);

CREATE TABLE {schema}.invoice (
    key text COLLATE "C" NOT NULL,
    fields jsonb NOT NULL,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoice_pkey PRIMARY KEY (key)
);

-- The rule of esync.demo.record.to_task_key: a key that cannot be a task key gives its SHA-256.
CREATE FUNCTION {schema}.to_task_key(key text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
    WHEN length(key) <= 64 AND key !~ '[\u0001-\u001f\u007f-\u009f]' THEN key
    ELSE encode(sha256(convert_to(key, 'UTF8')), 'hex')
END;

CREATE FUNCTION {schema}.set_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := nextval(format('%I.version_seq', TG_TABLE_SCHEMA)::regclass);
    NEW.changed_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE FUNCTION {schema}.add_customer_task() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- 1. The key that was there before. 2. The key that is there now, if it is another one.
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO {queue} (task_name, task_key, data, created_by)
        VALUES (
            'customer.sync',
            {schema}.to_task_key(OLD.key),
            jsonb_build_object('customer', OLD.key, 'change', TG_OP),
            'erp'
        );
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.key <> OLD.key) THEN
        INSERT INTO {queue} (task_name, task_key, data, created_by)
        VALUES (
            'customer.sync',
            {schema}.to_task_key(NEW.key),
            jsonb_build_object('customer', NEW.key, 'change', TG_OP),
            'erp'
        );
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER customer_version BEFORE INSERT OR UPDATE ON {schema}.customer
FOR EACH ROW EXECUTE FUNCTION {schema}.set_version();

CREATE TRIGGER invoice_version BEFORE INSERT OR UPDATE ON {schema}.invoice
FOR EACH ROW EXECUTE FUNCTION {schema}.set_version();

CREATE TRIGGER customer_task AFTER INSERT OR UPDATE OR DELETE ON {schema}.customer
FOR EACH ROW EXECUTE FUNCTION {schema}.add_customer_task();
