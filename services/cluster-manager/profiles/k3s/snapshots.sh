# Lines of a server's configuration: when it keeps what etcd has, how many times, and where besides its own disk. What is not said
# here is as k3s has it: twice a day, five times, on that disk alone. Its keys stand in this file only, which root alone reads.
. "$here/k3s.sh"
[ -z "$in_snapshotSchedule" ] || echo "etcd-snapshot-schedule-cron: $(yaml "$in_snapshotSchedule")"
[ -z "$in_snapshotRetention" ] || echo "etcd-snapshot-retention: $in_snapshotRetention"
if [ -n "$in_s3Endpoint" ]; then
  echo 'etcd-s3: true'
  echo "etcd-s3-endpoint: $(yaml "$in_s3Endpoint")"
  echo "etcd-s3-bucket: $(yaml "$in_s3Bucket")"
  [ -z "$in_s3Region" ] || echo "etcd-s3-region: $(yaml "$in_s3Region")"
  echo "etcd-s3-folder: $(yaml "${in_s3Folder:-$in_clusterName}")"
  # Of the bucket too; before 1.31.12, 1.32.8 and 1.33.4 the one above was for both, and k3s skips what it does not know.
  [ -z "$in_snapshotRetention" ] || echo "etcd-s3-retention: $in_snapshotRetention"
  [ "$in_s3Insecure" != 1 ] || echo 'etcd-s3-insecure: true'
  echo "etcd-s3-access-key: $(yaml "$in_secret_s3AccessKey")"
  echo "etcd-s3-secret-key: $(yaml "$in_secret_s3SecretKey")"
fi
