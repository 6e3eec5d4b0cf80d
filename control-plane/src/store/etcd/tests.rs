//! What only the store on etcd promises: each trap of etcd and of its client, met against the real thing.
