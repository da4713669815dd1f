// What the JavaScript SDK makes of the server: endpoint and credentials come from the environment alone.
import {
  CreateCollectionCommand,
  DeleteCollectionCommand,
  DescribeCollectionCommand,
  DetectFacesCommand,
  ListCollectionsCommand,
  ListUsersCommand,
  RekognitionClient,
} from "@aws-sdk/client-rekognition";

const client = new RekognitionClient({});
const CollectionId = "from-javascript";

const created = await client.send(new CreateCollectionCommand({ CollectionId, Tags: { team: "gate" } }));
const listed = await client.send(new ListCollectionsCommand({}));
const described = await client.send(new DescribeCollectionCommand({ CollectionId }));
const Bytes = new Uint8Array(100_000).fill(255);
const detected = await client.send(new DetectFacesCommand({ Image: { Bytes } }));
const users = await client.send(new ListUsersCommand({ CollectionId })); // at its limit at first
await client.send(new DeleteCollectionCommand({ CollectionId }));

const failed = {};
try {
  await client.send(new DescribeCollectionCommand({ CollectionId }));
} catch (error) {
  Object.assign(failed, {
    name: error.name,
    message: error.message,
    isClass: error.constructor.name,
    status: error.$metadata.httpStatusCode,
    requestId: error.$metadata.requestId,
  });
}

console.log(
  JSON.stringify({
    arn: created.CollectionArn,
    requestId: created.$metadata.requestId,
    listed: listed.CollectionIds.includes(CollectionId),
    createdAt: described.CreationTimestamp.toISOString(),
    attempts: users.$metadata.attempts,
    box: detected.FaceDetails[0].BoundingBox,
    failed,
  }),
);
