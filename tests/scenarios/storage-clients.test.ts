// Storage through the clients that people use for it: tus-js-client for resumable uploads, the AWS SDK for S3.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import * as tus from "tus-js-client";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const MiB = 1024 * 1024;
const BUCKET = "clients";

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  const service = stack.client(stack.info.secretKey);
  await service.storage.createBucket(BUCKET, { public: false, fileSizeLimit: "20MB" });
  await service.storage.createBucket(`${BUCKET}-texts`, { public: false, allowedMimeTypes: ["text/*"] });
  await stack.sql(`do $$ begin
    create policy "own folder" on storage.objects for all to authenticated
      using (bucket_id like 'clients%' and (storage.foldername(name))[1] = auth.uid()::text)
      with check (bucket_id like 'clients%' and (storage.foldername(name))[1] = auth.uid()::text);
    exception when duplicate_object then null; end $$`);
});
afterAll(() => stack.stop());

const files = (user: TestUser) => user.client.storage.from(BUCKET);

describe("a resumable upload", () => {
  interface Told {
    url?: string;
    error?: tus.DetailedError | Error;
  }

  /** Uploads as the documentation of Supabase says; with `stopAt` it stops there. */
  function upload(
    token: string,
    name: string,
    bytes: Buffer,
    more: { bucket?: string; upsert?: boolean; url?: string; stopAt?: number; type?: string } = {},
  ): Promise<Told> {
    const { promise, resolve } = Promise.withResolvers<Told>();
    const one = new tus.Upload(bytes, {
      endpoint: `${stack.info.storageUrl}/upload/resumable`,
      retryDelays: null,
      headers: { authorization: `Bearer ${token}`, ...(more.upsert ? { "x-upsert": "true" } : {}) },
      uploadDataDuringCreation: true,
      removeFingerprintOnSuccess: true,
      metadata: {
        bucketName: more.bucket ?? BUCKET,
        objectName: name,
        contentType: more.type ?? "application/octet-stream",
        cacheControl: "60",
        metadata: JSON.stringify({ from: "tus" }),
      },
      chunkSize: 6 * MiB,
      ...(more.url ? { uploadUrl: more.url } : {}),
      onChunkComplete(_size, accepted) {
        if (more.stopAt !== undefined && accepted >= more.stopAt)
          void one.abort().then(() => resolve({ url: one.url ?? "" }));
      },
      onError: (error) => resolve({ error }),
      onSuccess: () => resolve({ url: one.url ?? "" }),
    });
    one.start();
    return promise;
  }
  const statusOf = ({ error }: Told) =>
    error && "originalResponse" in error ? error.originalResponse?.getStatus() : undefined;

  test("arrives whole, with its type, its age and its metadata", async () => {
    const bytes = randomBytes(13 * MiB);
    const name = `${alice.id}/big.bin`;
    assert.equal((await upload(alice.token, name, bytes)).error, undefined);
    const { data } = await files(alice).download(name);
    assert.ok(Buffer.from(await data!.arrayBuffer()).equals(bytes));
    const { data: info } = await files(alice).info(name);
    assert.deepEqual(info?.metadata, { from: "tus" });
    assert.equal(info?.cacheControl, "max-age=60");
    assert.equal(info?.size, bytes.length);
  });

  test("goes on where it stopped", async () => {
    const bytes = randomBytes(13 * MiB);
    const name = `${alice.id}/resumed.bin`;
    const { url } = await upload(alice.token, name, bytes, { stopAt: 6 * MiB });
    assert.ok(url);
    assert.notEqual((await files(alice).download(name)).error, null, "half of it is nothing");
    const head = await fetch(url, {
      method: "HEAD",
      headers: { authorization: `Bearer ${alice.token}`, "tus-resumable": "1.0.0" },
    });
    assert.ok(Number(head.headers.get("upload-offset")) >= 6 * MiB);
    assert.equal((await upload(alice.token, name, bytes, { url })).error, undefined);
    const { data } = await files(alice).download(name);
    assert.ok(Buffer.from(await data!.arrayBuffer()).equals(bytes));
  });

  test("over what is there needs x-upsert", async () => {
    const name = `${alice.id}/twice.bin`;
    assert.equal((await upload(alice.token, name, Buffer.from("1"))).error, undefined);
    assert.equal(statusOf(await upload(alice.token, name, Buffer.from("2"))), 409);
    assert.equal((await upload(alice.token, name, Buffer.from("3"), { upsert: true })).error, undefined);
    assert.equal(await (await files(alice).download(name)).data?.text(), "3");
  });

  test("meets policies, limits, types and names, and a stranger cannot go on with it", async () => {
    const one = Buffer.from("x");
    const mine = `${alice.id}/x.bin`;
    assert.equal(statusOf(await upload(bob.token, mine, one)), 403);
    assert.equal(statusOf(await upload(forgedToken(alice), mine, one)), 400);
    assert.equal(statusOf(await upload("", mine, one)), 401);
    assert.equal(statusOf(await upload(alice.token, `${alice.id}/ü.bin`, one)), 400);
    assert.equal(statusOf(await upload(alice.token, mine, one, { bucket: "nowhere" })), 404);
    assert.equal(statusOf(await upload(alice.token, mine, randomBytes(21 * MiB))), 413);
    const typed = { bucket: `${BUCKET}-texts`, type: "image/png" };
    assert.equal(statusOf(await upload(alice.token, mine, one, typed)), 415);

    const { url } = await upload(alice.token, mine, randomBytes(13 * MiB), { stopAt: 6 * MiB });
    const patch = await fetch(url ?? "", {
      method: "PATCH",
      headers: {
        authorization: `Bearer ${bob.token}`,
        "tus-resumable": "1.0.0",
        "upload-offset": String(6 * MiB),
        "content-type": "application/offset+octet-stream",
      },
      body: "stolen",
    });
    assert.equal(patch.status, 403);
    assert.notEqual((await files(alice).download(mine)).error, null);
  });

  test("an address that was made up leads nowhere", async () => {
    const ids = [
      "clients/../../etc/passwd",
      `clients/${alice.id}/x.bin/00000000-0000-4000-8000-000000000000`,
      "x",
    ];
    for (const id of ids) {
      const url = `${stack.info.storageUrl}/upload/resumable/${Buffer.from(id).toString("base64url")}`;
      for (const method of ["HEAD", "PATCH", "DELETE"]) {
        const answer = await fetch(url, {
          method,
          headers: {
            authorization: `Bearer ${alice.token}`,
            "tus-resumable": "1.0.0",
            "upload-offset": "0",
            "content-type": "application/offset+octet-stream",
          },
          ...(method === "PATCH" ? { body: "x" } : {}),
        });
        assert.ok([400, 403, 404].includes(answer.status), `${method} ${id}: ${answer.status}`);
      }
    }
  });
});

describe("an S3 client", () => {
  const clientWith = (credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }) =>
    new S3Client({
      forcePathStyle: true,
      region: "local",
      endpoint: `${stack.info.storageUrl}/s3`,
      credentials,
      maxAttempts: 1,
    });
  const withKeys = () =>
    clientWith({ accessKeyId: stack.info.s3AccessKeyId, secretAccessKey: stack.info.s3SecretAccessKey });
  const as = (token: string) =>
    clientWith({ accessKeyId: "local", secretAccessKey: stack.info.publishableKey, sessionToken: token });
  const failure = async (sent: Promise<unknown>) =>
    await sent.then(
      () => "none",
      (error: { name: string }) => error.name,
    );
  const textOf = async (client: S3Client, Key: string, more: object = {}) =>
    await (
      await client.send(new GetObjectCommand({ Bucket: BUCKET, Key, ...more }))
    ).Body?.transformToString();

  test("makes, lists and deletes buckets", async () => {
    const s3 = withKeys();
    await s3.send(new CreateBucketCommand({ Bucket: "by-s3" }));
    assert.equal(await failure(s3.send(new CreateBucketCommand({ Bucket: "by-s3" }))), "BucketAlreadyExists");
    const { Buckets } = await s3.send(new ListBucketsCommand({}));
    assert.ok(Buckets?.some(({ Name }) => Name === "by-s3"));
    await s3.send(new HeadBucketCommand({ Bucket: "by-s3" }));
    await s3.send(new DeleteBucketCommand({ Bucket: "by-s3" }));
    assert.equal(await failure(s3.send(new HeadBucketCommand({ Bucket: "by-s3" }))), "NotFound");
  });

  test("puts, gets, heads, copies and deletes objects", async () => {
    const s3 = withKeys();
    const Key = "a folder/ob+ject (1).txt";
    const put = await s3.send(
      new PutObjectCommand({
        Bucket: BUCKET,
        Key,
        Body: "0123456789",
        ContentType: "text/plain",
        Metadata: { a: "b" },
      }),
    );
    assert.equal(put.ETag, '"781e5e245d69b566979b86e28d23f2c7"');
    assert.equal(await textOf(s3, Key), "0123456789");
    assert.equal(await textOf(s3, Key, { Range: "bytes=2-4" }), "234");
    assert.equal(await failure(textOf(s3, Key, { Range: "bytes=10-" })), "InvalidRange");
    assert.equal(await failure(textOf(s3, Key, { IfNoneMatch: put.ETag })), "Unknown"); // 304, without a body
    const head = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key }));
    assert.deepEqual([head.ContentLength, head.ContentType, head.Metadata], [10, "text/plain", { a: "b" }]);

    const CopySource = encodeURI(`${BUCKET}/${Key}`).replaceAll("+", "%2B");
    await s3.send(new CopyObjectCommand({ Bucket: BUCKET, Key: "copy.txt", CopySource }));
    assert.equal(await textOf(s3, "copy.txt"), "0123456789");
    const other = new CopyObjectCommand({
      Bucket: BUCKET,
      Key: "copy.txt",
      CopySource,
      CopySourceIfMatch: '"x"',
    });
    assert.equal(await failure(s3.send(other)), "PreconditionFailed");

    await s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "copy.txt" }));
    await s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "copy.txt" }));
    assert.equal(await failure(textOf(s3, "copy.txt")), "NoSuchKey");
    const { Deleted } = await s3.send(
      new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects: [{ Key }, { Key: "none" }] } }),
    );
    assert.deepEqual(
      Deleted?.map((one) => one.Key),
      [Key, "none"],
    );
  });

  test("puts a stream of unknown hash, in chunks that are signed or only summed", async () => {
    const s3 = withKeys();
    const bytes = randomBytes(3 * MiB);
    const Body = Readable.from(bytes.toString("hex").match(/.{1,100000}/g) ?? []);
    await s3.send(
      new PutObjectCommand({
        Bucket: BUCKET,
        Key: "stream",
        Body,
        ContentLength: bytes.length * 2,
        ChecksumAlgorithm: "SHA256",
      }),
    );
    assert.equal(await textOf(s3, "stream"), bytes.toString("hex"));
  });

  test("lists in pages, with folders, in both versions", async () => {
    const s3 = withKeys();
    const keys = ["l/a", "l/a-b", "l/a.txt", "l/b/1", "l/b/2", "l/c"];
    for (const Key of keys) await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: Key }));
    const found: string[] = [];
    let ContinuationToken: string | undefined;
    do {
      const page = await s3.send(
        new ListObjectsV2Command({
          Bucket: BUCKET,
          Prefix: "l/",
          Delimiter: "/",
          MaxKeys: 2,
          ContinuationToken,
        }),
      );
      found.push(
        ...(page.Contents ?? []).map(({ Key }) => Key!),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!),
      );
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken);
    assert.deepEqual(found.sort(), ["l/a", "l/a-b", "l/a.txt", "l/b/", "l/c"]);
    const all = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "l/" }));
    assert.deepEqual(
      all.Contents?.map(({ Key }) => Key),
      keys,
    );
    const after = await s3.send(
      new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "l/", StartAfter: "l/b/1" }),
    );
    assert.deepEqual(
      after.Contents?.map(({ Key }) => Key),
      ["l/b/2", "l/c"],
    );
    const first = await s3.send(new ListObjectsCommand({ Bucket: BUCKET, Prefix: "l/", Delimiter: "/" }));
    assert.deepEqual(first.CommonPrefixes, [{ Prefix: "l/b/" }]);
    assert.equal(await failure(s3.send(new ListObjectsV2Command({ Bucket: "nowhere" }))), "NoSuchBucket");
  });

  test("uploads in parts, copies one, and gives one up", async () => {
    const s3 = withKeys();
    const Key = "parts.bin";
    const [one, two] = [randomBytes(5 * MiB), randomBytes(1000)];
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: "source.bin", Body: one }));
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({ Bucket: BUCKET, Key, ContentType: "a/b" }),
    );
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
    assert.ok(Uploads?.some((upload) => upload.UploadId === UploadId));
    const part = { Bucket: BUCKET, Key, UploadId };
    const copied = await s3.send(
      new UploadPartCopyCommand({ ...part, PartNumber: 1, CopySource: `${BUCKET}/source.bin` }),
    );
    const sent = await s3.send(new UploadPartCommand({ ...part, PartNumber: 2, Body: two }));
    const { Parts } = await s3.send(new ListPartsCommand(part));
    assert.deepEqual(
      Parts?.map(({ PartNumber, Size }) => [PartNumber, Size]),
      [
        [1, one.length],
        [2, two.length],
      ],
    );
    const complete = (ETag: string | undefined) =>
      s3.send(
        new CompleteMultipartUploadCommand({
          ...part,
          MultipartUpload: {
            Parts: [
              { PartNumber: 1, ETag: copied.CopyPartResult?.ETag },
              { PartNumber: 2, ETag },
            ],
          },
        }),
      );
    assert.equal(await failure(complete('"0"')), "InvalidPart");
    assert.match((await complete(sent.ETag)).ETag ?? "", /-2"$/);
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key }));
    assert.ok(Buffer.from(await Body!.transformToByteArray()).equals(Buffer.concat([one, two])));

    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: "given-up" }));
    const given = { Bucket: BUCKET, Key: "given-up", UploadId: begun.UploadId };
    await s3.send(new AbortMultipartUploadCommand(given));
    assert.equal(await failure(s3.send(new ListPartsCommand(given))), "NoSuchUpload");
  });

  test("with a user's token may do what their policies allow", async () => {
    const Key = `${alice.id}/mine.txt`;
    const put = (client: S3Client) =>
      client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: "mine" }));
    await put(as(alice.token));
    assert.equal(await textOf(as(alice.token), Key), "mine");
    assert.equal(await failure(textOf(as(bob.token), Key)), "NoSuchKey");
    assert.equal(await failure(put(as(bob.token))), "AccessDenied");
    assert.equal(
      await failure(as(bob.token).send(new DeleteObjectCommand({ Bucket: BUCKET, Key }))),
      "AccessDenied",
    );
    assert.equal(await failure(put(as(forgedToken(alice)))), "AccessDenied");
    const listed = await as(bob.token).send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: alice.id }));
    assert.deepEqual(listed.Contents ?? [], []);
  });

  test("with another key or secret may do nothing", async () => {
    const { s3AccessKeyId, s3SecretAccessKey } = stack.info;
    const wrongKey = clientWith({ accessKeyId: "x", secretAccessKey: s3SecretAccessKey });
    assert.equal(await failure(wrongKey.send(new ListBucketsCommand({}))), "AccessDenied");
    const wrongSecret = clientWith({ accessKeyId: s3AccessKeyId, secretAccessKey: "x" });
    assert.equal(await failure(wrongSecret.send(new ListBucketsCommand({}))), "SignatureDoesNotMatch");
    const unsigned = await fetch(`${stack.info.storageUrl}/s3/${BUCKET}`);
    assert.equal(unsigned.status, 403);
    assert.match(await unsigned.text(), /<Code>AccessDenied<\/Code><Message>Missing signature<\/Message>/);
  });
});
